"""One side of `bench.training`, in a process of its own: prints {"examples", "seconds"} as its last line.

    python -m bench.training_sides resnet ours|plain FOLDER [--quick]

The plain sides are what a user would write: no checkpoints to resume from, no metrics on the way, no way to stop.
"""

import argparse
import json
import math
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainers import registry

EXAMPLES = {"resnet": 1_200, "gpt": 1_600_000, "bert": 2_400, "random_forest": 40_000}  # of gpt: characters
QUICK = {"resnet": 16, "gpt": 20_000, "bert": 64, "random_forest": 500}
HELD_OUT = 0.15
SETTINGS: dict[str, dict[str, Any]] = {
    "resnet": {"depth": 18, "epochs": 2, "batch_size": 32, "learning_rate": 0.001, "random_state": 1},
    "gpt": {
        "epochs": 2, "batch_size": 16, "learning_rate": 0.0006, "max_length": 128, "num_layers": 4,
        "hidden_size": 192, "vocab_size": 1024, "dropout_rate": 0.1, "random_state": 1,
    },
    "bert": {
        "epochs": 2, "batch_size": 16, "learning_rate": 0.0001, "max_length": 128, "num_layers": 4, "num_heads": 4,
        "hidden_size": 192, "vocab_size": 2048, "random_state": 1,
    },
    "random_forest": {"n_estimators": 300, "n_jobs": -1, "random_state": 1},
}  # fmt: skip
WORDS = [
    "the", "a", "small", "large", "tree", "house", "river", "stone", "walks", "sleeps", "near", "and", "then", "under",
    "over", "bright", "dark", "old", "new",
]  # fmt: skip


class QuietReporter:
    """Hears everything and says nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def log(self, level: str, message: str) -> None:
        pass

    def metrics(self, values: dict[str, float], step: int | None = None) -> None:
        pass

    def progress(self, fraction: float, message: str = "") -> None:
        pass

    def checkpoint(self) -> Path:
        return self.folder

    def should_stop(self) -> bool:
        return False


# --- Data ------------------------------------------------------------------------------------------------------------
def write_images(path: Path, count: int) -> None:
    """Noise, of two classes: the left half is the brighter one, or the right."""
    from PIL import Image

    draw = np.random.default_rng(0)
    for number in range(count):
        label = number % 2
        pixels = draw.integers(0, 128, (64, 64, 3))
        pixels[:, 32 * label : 32 * (label + 1)] += 100
        folder = path / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")


def write_text(path: Path, characters: int) -> None:
    draw = random.Random(0)
    path.mkdir()
    for number in range(40):
        words = draw.choices(WORDS, k=characters // 40 // 6)
        path.joinpath(f"{number}.txt").write_text(" ".join(words))


def write_mails(path: Path, count: int) -> None:
    draw = random.Random(0)
    rows = ["text,label"]
    for number in range(count):
        label = number % 2
        rows.append(" ".join(draw.choices(WORDS[label * 4 :], k=draw.randint(40, 90))) + f",{label}")
    path.write_text("\n".join(rows) + "\n")


def write_table(path: Path, rows: int) -> None:
    from sklearn.datasets import make_classification

    features, labels = make_classification(rows, 30, n_informative=12, n_classes=3, random_state=0)
    lines = [",".join([*(f"{v:.6f}" for v in row), f"c{label}"]) for row, label in zip(features, labels, strict=True)]
    path.write_text("\n".join([",".join([*(f"x{i}" for i in range(30)), "label"]), *lines]) + "\n")


WRITERS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "resnet": ("images", write_images),
    "gpt": ("text", write_text),
    "bert": ("mails.csv", write_mails),
    "random_forest": ("table.csv", write_table),
}


# --- Ours ------------------------------------------------------------------------------------------------------------
def ours(case: str, data: Path, out: Path) -> tuple[int, int]:
    """(examples of the training part, epochs)."""
    (out / "checkpoint").mkdir()
    result = registry.train(case, SETTINGS[case], data, out / "model", QuietReporter(out / "checkpoint"))
    if case == "random_forest":
        return int(result.metrics["n_train"]), 1
    return int(result.metrics["n_train"]), int(result.metrics["epochs"])


# --- Plain -----------------------------------------------------------------------------------------------------------
def plain_resnet(data: Path, out: Path) -> tuple[int, int]:
    import torch
    import torch.nn.functional as F
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset

    from trainers.vision.resnet import ResNet

    settings = SETTINGS["resnet"]
    torch.manual_seed(1)
    files = sorted(data.rglob("*.png"))
    random.Random(1).shuffle(files)
    images = torch.stack(
        [torch.from_numpy(np.array(Image.open(each).convert("RGB"))).permute(2, 0, 1) for each in files]
    )
    labels = torch.tensor([int(each.parent.name[-1]) for each in files])
    held = round(len(files) * HELD_OUT)
    mean, std = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    class Augmented(Dataset):
        def __len__(self) -> int:
            return len(files) - held

        def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
            image = F.pad(images[held + index], (2, 2, 2, 2))
            top, left = torch.randint(0, 5, (2,)).tolist()
            image = image[:, top : top + 64, left : left + 64]
            if torch.rand(()) < 0.5:
                image = image.flip(2)
            return (image.float() / 255 - mean) / std, labels[held + index]

    loader = DataLoader(Augmented(), batch_size=settings["batch_size"], shuffle=True)
    model = ResNet(18, 2, small=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["learning_rate"], weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["epochs"] * len(loader))
    for _ in range(settings["epochs"]):
        model.train()
        for batch, targets in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(batch), targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
        model.eval()
        hits = 0
        with torch.inference_mode():
            for begin in range(0, held, settings["batch_size"]):
                end = min(begin + settings["batch_size"], held)
                found = model((images[begin:end].float() / 255 - mean) / std).argmax(dim=1)
                hits += int((found == labels[begin:end]).sum())
        print(f"accuracy {hits / held:.3f}", file=sys.stderr)
    torch.save(model.state_dict(), out / "model.pt")
    return len(files) - held, settings["epochs"]


def plain_gpt(data: Path, out: Path) -> tuple[int, int]:
    import torch
    import torch.nn.functional as F
    from tokenizers import ByteLevelBPETokenizer

    from trainers.text.gpt import GPT

    settings = SETTINGS["gpt"]
    length, size = settings["max_length"], settings["batch_size"]
    torch.manual_seed(1)
    texts = [path.read_text() for path in sorted(data.glob("*.txt"))]
    held = round(len(texts) * HELD_OUT)
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(texts[held:], vocab_size=settings["vocab_size"])
    rows = [
        torch.tensor([token for text in part for token in tokenizer.encode(text).ids])
        for part in (texts[held:], texts[:held])
    ]
    train, held_out = (row[: (len(row) - 1) // length * length + 1] for row in rows)
    width = settings["hidden_size"]
    model = GPT(tokenizer.get_vocab_size(), length, settings["num_layers"], max(width // 64, 1), width, 0.1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings["learning_rate"], weight_decay=0.1)
    count = (len(train) - 1) // length
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, settings["epochs"] * math.ceil(count / size))

    def loss_of(row: torch.Tensor, numbers: list[int]) -> torch.Tensor:
        inputs = torch.stack([row[n * length : (n + 1) * length] for n in numbers])
        targets = torch.stack([row[n * length + 1 : (n + 1) * length + 1] for n in numbers])
        return F.cross_entropy(model(inputs).flatten(0, 1), targets.flatten())

    for _ in range(settings["epochs"]):
        model.train()
        order = torch.randperm(count).tolist()
        for begin in range(0, count, size):
            optimizer.zero_grad()
            loss_of(train, order[begin : begin + size]).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
        model.eval()
        held_count = (len(held_out) - 1) // length
        with torch.inference_mode():
            losses = [
                float(loss_of(held_out, list(range(begin, min(begin + size, held_count)))))
                for begin in range(0, held_count, size)
            ]
        print(f"loss {np.mean(losses):.3f}", file=sys.stderr)
    torch.save(model.state_dict(), out / "model.pt")
    return len(train) - 1, settings["epochs"]


def plain_bert(data: Path, out: Path) -> tuple[int, int]:
    import polars as pl
    import torch
    from tokenizers import BertWordPieceTokenizer
    from tokenizers.processors import BertProcessing
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    settings = SETTINGS["bert"]
    table = pl.read_csv(data).sample(fraction=1.0, shuffle=True, seed=1)
    texts, labels = table["text"].to_list(), table["label"].to_list()
    held = round(len(texts) * HELD_OUT)
    tokenizer = BertWordPieceTokenizer()
    tokenizer.train_from_iterator(texts[held:], vocab_size=settings["vocab_size"])
    begin, end = ((mark, tokenizer.token_to_id(mark)) for mark in ("[CLS]", "[SEP]"))
    tokenizer.post_processor = BertProcessing(end, begin)
    tokenizer.enable_truncation(settings["max_length"])
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=settings["hidden_size"],
        num_hidden_layers=settings["num_layers"],
        num_attention_heads=settings["num_heads"],
        intermediate_size=4 * settings["hidden_size"],
        num_labels=2,
    )
    rows = [
        {"input_ids": encoding.ids, "attention_mask": encoding.attention_mask, "labels": label}
        for encoding, label in zip(tokenizer.encode_batch(texts), labels, strict=True)
    ]

    def collate(batch: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        longest = max(len(row["input_ids"]) for row in batch)
        padded = {
            name: torch.tensor([row[name] + [0] * (longest - len(row[name])) for row in batch])
            for name in ("input_ids", "attention_mask")
        }
        return {**padded, "labels": torch.tensor([row["labels"] for row in batch])}

    arguments = TrainingArguments(
        output_dir=str(out / "trainer"),
        num_train_epochs=settings["epochs"],
        per_device_train_batch_size=settings["batch_size"],
        per_device_eval_batch_size=settings["batch_size"],
        learning_rate=settings["learning_rate"],
        lr_scheduler_type="cosine",
        eval_strategy="epoch",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        seed=1,
    )
    model = BertForSequenceClassification(config)
    trainer = Trainer(model, arguments, data_collator=collate, train_dataset=rows[held:], eval_dataset=rows[:held])
    trainer.train()
    model.save_pretrained(out / "model")
    return len(rows) - held, settings["epochs"]


def plain_random_forest(data: Path, out: Path) -> tuple[int, int]:
    import polars as pl
    import skops.io
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import accuracy_score
    from sklearn.model_selection import train_test_split

    settings = SETTINGS["random_forest"]
    table = pl.read_csv(data)
    features, labels = table.drop("label").to_numpy(), table["label"].to_numpy()
    parts = train_test_split(features, labels, test_size=0.2, random_state=1, stratify=labels)
    forest = RandomForestClassifier(**settings).fit(parts[0], parts[2])
    print(f"accuracy {accuracy_score(parts[3], forest.predict(parts[1])):.3f}", file=sys.stderr)
    skops.io.dump(forest, out / "model.skops")
    return len(parts[0]), 1


PLAIN = {"resnet": plain_resnet, "gpt": plain_gpt, "bert": plain_bert, "random_forest": plain_random_forest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=PLAIN)
    parser.add_argument("side", choices=("ours", "plain"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    name, write = WRITERS[asked.case]
    data = asked.folder / name
    if not data.exists():
        write(data, (QUICK if asked.quick else EXAMPLES)[asked.case])
    with tempfile.TemporaryDirectory() as folder:
        import_all(asked.case, asked.side)
        side = partial(ours, asked.case) if asked.side == "ours" else PLAIN[asked.case]
        started = time.perf_counter()
        count, epochs = side(data, Path(folder))
        seconds = time.perf_counter() - started
    print(json.dumps({"examples": count * epochs, "seconds": seconds}))


def import_all(case: str, side: str) -> None:
    """What the side will import anyway is no part of its speed; nor is torch's first product, which starts threads."""
    import importlib

    if side == "ours":
        importlib.import_module(registry.get(case).module)
    modules = {"resnet": ["PIL.Image"], "gpt": ["tokenizers"], "bert": ["transformers"], "random_forest": ["skops.io"]}
    for name in modules[case]:
        importlib.import_module(name)
    if case == "bert" and side == "plain":
        from transformers import BertForSequenceClassification, Trainer  # noqa: F401
    if case != "random_forest":
        import torch

        torch.ones(512, 512) @ torch.ones(512, 512)
    else:
        importlib.import_module("sklearn.ensemble")


if __name__ == "__main__":
    main()
