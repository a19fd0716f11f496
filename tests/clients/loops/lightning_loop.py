"""A real PyTorch Lightning training and test, logged. Its arguments: the server's address."""

import sys

import lightning
import torch
from ai_manager import AIManager
from ai_manager.integrations.lightning import AIManagerLogger
from torch.utils.data import DataLoader, TensorDataset


class Net(lightning.LightningModule):
    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layer = torch.nn.Linear(4, 1)

    def training_step(self, batch, index):
        loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        self.log("val_loss", torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

    def _measure_test(self, batch, index):
        self.log("test_loss", torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

    test_step = _measure_test  # Lightning's hook, and no test of ours

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.hparams.lr)


x = torch.randn(64, 4)
loader = DataLoader(TensorDataset(x, x.sum(dim=1, keepdim=True)), batch_size=8)
manager = AIManager("loops", sys.argv[1], "ann", "password")
logger = AIManagerLogger(lambda: manager.run(name="lightning"))
trainer = lightning.Trainer(
    max_epochs=3, logger=logger, log_every_n_steps=2, enable_progress_bar=False, enable_checkpointing=False,
    enable_model_summary=False, accelerator="cpu",
)  # fmt: skip
net = Net()
trainer.fit(net, loader, loader)
trainer.test(net, loader, verbose=False)
logger.experiment.finish()
