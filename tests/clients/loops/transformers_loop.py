"""A real training by Hugging Face's Trainer, of a tiny random BERT, logged. Its arguments: the server's address."""

import sys
import tempfile

import torch
from ai_manager import AIManager
from ai_manager.integrations.transformers import AIManagerCallback
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
rows = [{"input_ids": torch.randint(50, (8,)), "labels": torch.tensor(index % 2)} for index in range(32)]
manager = AIManager("loops", sys.argv[1], "ann", "password")
with tempfile.TemporaryDirectory() as folder, manager.run(name="transformers") as run:
    arguments = TrainingArguments(
        folder, num_train_epochs=2, per_device_train_batch_size=8, logging_steps=2, eval_strategy="epoch",
        save_strategy="no", report_to=[], disable_tqdm=True, use_cpu=True,
    )  # fmt: skip
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=arguments,
        train_dataset=rows,
        eval_dataset=rows[:8],
        callbacks=[AIManagerCallback(run)],
    )
    trainer.train()
