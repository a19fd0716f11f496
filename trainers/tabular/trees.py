"""Trees of a growing forest on disk: plain arrays in parts, each written whole, so that a killed training goes on.

Arrays rather than skops: a tree costs skops 1.5 ms, which for small trees is more than growing them anew.
"""

import copy
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.tree._tree import NODE_DTYPE, Tree

from trainers.files import write_bytes_atomically, write_json_atomically
from trainers.protocol import ModelProblem

STATE = "forest.json"
FORMAT_VERSION = 1
LEAF = -1


class TreeCheckpoint:
    """The trees saved so far in `folder`. `fingerprint` names data and parameters: another one's are not resumed."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        self.folder = folder
        self.fingerprint = fingerprint
        self.parts: list[dict[str, Any]] = []
        self.saved = 0

    def save(self, trees: list[Any]) -> None:
        """Add the trees that are not saved yet; `trees` are all grown so far, in order."""
        new = trees[self.saved :]
        if not new:
            return
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **_pack(new))
        content = buffer.getvalue()
        name = f"trees-{self.saved:06d}-{len(trees):06d}.npz"
        write_bytes_atomically(self.folder / name, content)
        self.parts.append({"name": name, "trees": len(new), "sha256": hashlib.sha256(content).hexdigest()})
        state = {"format_version": FORMAT_VERSION, "fingerprint": self.fingerprint, "parts": self.parts}
        write_json_atomically(self.folder / STATE, state)
        self.saved = len(trees)

    def load(self, template: Any) -> list[Any]:
        """The saved trees, as copies of the fitted `template` tree. Raises ModelProblem; FileNotFoundError for none."""
        content = (self.folder / STATE).read_bytes()
        try:
            state = json.loads(content)
            if state["format_version"] != FORMAT_VERSION or state["fingerprint"] != self.fingerprint:
                raise ModelProblem("the checkpoint is of other data or hyperparameters")
            trees: list[Any] = []
            for part in state["parts"]:
                name = f"trees-{len(trees):06d}-{len(trees) + part['trees']:06d}.npz"
                packed = (self.folder / name).read_bytes()
                if hashlib.sha256(packed).hexdigest() != part["sha256"]:
                    raise ModelProblem(f"{name} of the checkpoint is damaged")
                with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
                    trees += _unpack(arrays, template)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise ModelProblem(f"the checkpoint is damaged ({type(error).__name__})") from error
        self.parts, self.saved = list(state["parts"]), len(trees)
        return trees


def check_trees(trees: list[Any]) -> None:
    """Raises ModelProblem if a tree points outside of itself: compiled code follows its indices unchecked."""
    for estimator in trees:
        tree = estimator.tree_
        left, right, feature = tree.children_left, tree.children_right, tree.feature
        own = np.arange(tree.node_count)
        inner = left != LEAF
        fine = (
            tree.node_count > 0
            and bool(np.all((right != LEAF) == inner))
            and bool(np.all((left[inner] > own[inner]) & (left[inner] < tree.node_count)))
            and bool(np.all((right[inner] > own[inner]) & (right[inner] < tree.node_count)))
            and bool(np.all((feature[inner] >= 0) & (feature[inner] < estimator.n_features_in_)))
            and tree.n_features == estimator.n_features_in_
            and tree.value.shape[0] == tree.node_count
        )
        if not fine:
            raise ModelProblem("The model holds a damaged tree.")


def _pack(trees: list[Any]) -> dict[str, npt.NDArray[Any]]:
    states = [tree.tree_.__getstate__() for tree in trees]
    nodes = np.zeros(sum(state["node_count"] for state in states), NODE_DTYPE)
    np.concatenate([state["nodes"] for state in states], out=nodes)  # by itself it would drop the type's padding
    return {
        "node_count": np.array([state["node_count"] for state in states], np.int64),
        "max_depth": np.array([state["max_depth"] for state in states], np.int64),
        "nodes": nodes,
        "values": np.concatenate([state["values"] for state in states]),
        "seed": np.array([tree.random_state for tree in trees], np.int64),
    }


def _unpack(arrays: Any, template: Any) -> list[Any]:
    counts, depths, seeds = arrays["node_count"], arrays["max_depth"], arrays["seed"]
    ends = np.cumsum(counts)
    nodes, values = arrays["nodes"], arrays["values"]
    if nodes.dtype != NODE_DTYPE or len(nodes) != len(values) or ends[-1] != len(nodes):
        raise ValueError("arrays differ in length or type")
    trees = []
    for end, count, depth, seed in zip(ends, counts, depths, seeds, strict=True):
        tree = Tree(template.tree_.n_features, template.tree_.n_classes, template.tree_.n_outputs)
        tree.__setstate__(
            {
                "max_depth": int(depth),
                "node_count": int(count),
                "nodes": np.ascontiguousarray(nodes[end - count : end]),
                "values": np.ascontiguousarray(values[end - count : end]),
            }
        )
        estimator = copy.copy(template)
        estimator.random_state = int(seed)
        estimator.tree_ = tree
        trees.append(estimator)
    check_trees(trees)
    return trees
