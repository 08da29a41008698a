"""A recommender trained here on MovieLens 100k (of the recbole wheel): TorchScript, with the maps of its ids inside."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from wheels import unpacked

SETTINGS = """\
version: 1
name: films
model:
  source: films.pt
  task: recommendation
  inputs:
    - {name: user_id, dtype: int64, shape: [batch]}
    - {name: item_id, dtype: int64, shape: [batch]}
evaluate: {data: heldout.npz, metric: rmse}
"""
EPOCHS, BATCH, WIDTH = 4, 1024, 32


class Films(nn.Module):  # type: ignore[misc]
    """Rating of a film by a user, both by the ids of the data set; an id that it never saw is the stranger, 0."""

    def __init__(self, users: Any, items: Any, mean: float) -> None:
        super().__init__()
        for name, ids in (("users", users), ("items", items)):
            places = torch.zeros(int(ids.max()) + 2, dtype=torch.int64)
            places[torch.from_numpy(ids)] = torch.arange(1, len(ids) + 1)
            self.register_buffer(name, places)
        self.user, self.item = nn.Embedding(len(users) + 1, WIDTH), nn.Embedding(len(items) + 1, WIDTH)
        self.user_bias, self.item_bias = nn.Embedding(len(users) + 1, 1), nn.Embedding(len(items) + 1, 1)
        for table in (self.user, self.item, self.user_bias, self.item_bias):
            nn.init.normal_(table.weight, std=0.05)
        self.mix = nn.Sequential(nn.Linear(2 * WIDTH, 64), nn.ReLU(), nn.Dropout(0.3), nn.Linear(64, 1))
        self.mean = mean

    def forward(self, user_id: Any, item_id: Any) -> Any:
        user = self.users[user_id.clamp(0, self.users.shape[0] - 1)]
        item = self.items[item_id.clamp(0, self.items.shape[0] - 1)]
        both = torch.cat([self.user(user), self.item(item)], -1)
        return (self.mean + self.user_bias(user) + self.item_bias(item) + self.mix(both)).squeeze(-1)


def trained(learn: Any) -> Any:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    net = Films(np.unique(learn[:, 0]), np.unique(learn[:, 1]), float(learn[:, 2].mean()))
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=0.1)
    rows = torch.from_numpy(learn)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(rows)).split(BATCH):
            part = rows[chosen]
            loss = ((net(part[:, 0], part[:, 1]) - part[:, 2]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net.eval()


def test_ratings_are_as_good_from_the_endpoint(stand: Callable[[str], Any], project: Path) -> None:
    folder = unpacked("recbole==1.2.1") / "recbole/dataset_example/ml-100k"
    ratings = np.loadtxt(folder / "ml-100k.inter", dtype=np.int64, delimiter="\t", skiprows=1, usecols=(0, 1, 2))
    ratings = ratings[np.random.default_rng(0).permutation(len(ratings))]
    learn, held = ratings[20_000:], ratings[:20_000]  # four fifths to learn from, as MovieLens' own splits have it
    net = trained(learn)
    example = torch.from_numpy(held[:2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(net, (example[:, 0], example[:, 1])), project / "films.pt")
    np.savez(project / "heldout.npz", user_id=held[:, 0], item_id=held[:, 1], labels=held[:, 2].astype(np.float32))
    endpoint = stand(SETTINGS)
    assert (endpoint.manifest.format, endpoint.manifest.layout) == ("torchscript", "onnxruntime")

    found = np.array(endpoint.rows([{"user_id": int(user), "item_id": int(item)} for user, item, _ in held]))
    with torch.no_grad():
        own = net(torch.from_numpy(held[:, 0]), torch.from_numpy(held[:, 1])).numpy()
    served, here = (float(np.sqrt(((each - held[:, 2]) ** 2).mean())) for each in (found, own))
    print(f"rating of films: RMSE {served:.4f} through InvokeEndpoint, {here:.4f} in PyTorch")
    assert abs(served - here) < 0.0005
    assert abs(served - 0.929) < 0.005  # what a net of this size was measured at; the mean alone is at 1.130
    assert np.isfinite(endpoint.rows([{"user_id": 10**6, "item_id": -1}])).all()
