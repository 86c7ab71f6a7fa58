# SPDX-License-Identifier: MIT
"""What the makers of golden values from PyTorch share: arrays one after the other, and three tasks, "fails",
"grade" and "hours", with their labels, losses and links."""

import numpy as np
import torch
import torch.nn.functional as F


def flat(tensors):
    return np.concatenate([t.detach().numpy().ravel() for t in tensors.values()])


def save(folder, arrays):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f'{name}.npy', array)


def make_labels(rng, rows, missing):
    y = {'fails': rng.integers(0, 2, (rows, 1)), 'grade': rng.integers(0, 3, (rows, 1)),
         'hours': rng.standard_normal((rows, 2)) * 2 + 1}
    y = {n: v.astype(np.float32) for n, v in y.items()}
    for v in y.values():
        v[rng.random(v.shape) < missing] = np.nan
    return y


def total_loss(z, y):
    total = 0
    for t, label in y.items():
        present, known = ~torch.isnan(label), torch.nan_to_num(label)
        if t == 'hours':
            loss = (z[t] - known) ** 2
        elif t == 'grade':
            loss = F.cross_entropy(z[t], known[:, 0].long(), reduction='none')[:, None]
        else:
            loss = F.binary_cross_entropy_with_logits(z[t], known, reduction='none')
        total = total + loss[present].mean()
    return total


def link(z):
    """Predictions from z by task."""
    return torch.cat([torch.sigmoid(z['fails']), torch.softmax(z['grade'], 1), z['hours']], 1)


# Of ensembles and architectures: column 1 of the inputs has an embedding.
ROWS, INPUTS, CATEGORIES, UNITS = 19, 5, 4, 2
RATE, STEPS = 0.05, (1, 10)


def embedded(p, x):
    numbers = torch.tensor(np.delete(x, 1, 1), dtype=torch.float64)
    return torch.cat([numbers, p['trunk.0.weight'][torch.tensor(x[:, 1].astype(np.int64) + 1)]], 1)


def descend(initial, x, labels, loss, predictions):
    """loss(p, x, y) and predictions(p, x) at the start and after STEPS of plain descent."""
    y = {n: torch.tensor(v, dtype=torch.float64) for n, v in labels.items()}
    p = {n: torch.tensor(v, dtype=torch.float64, requires_grad=True) for n, v in initial.items()}
    sgd = torch.optim.SGD(list(p.values()), lr=RATE)
    found = {'params_0': flat(p).astype(np.float32), 'out_0': predictions(p, x).detach().numpy()}
    for step in range(1, max(STEPS) + 1):
        sgd.zero_grad()
        loss(p, x, y).backward()
        sgd.step()
        if step in STEPS:
            found[f'params_{step}'] = flat(p)
            found[f'out_{step}'] = predictions(p, x).detach().numpy()
    return found


def write_kinds(folder, seed, kinds, make_initial, loss, predictions):
    """folder/x.npy, y_fails.npy, kind_params_0.npy and so on; the functions take the kind last."""
    rng = np.random.default_rng(seed)
    torch.set_num_threads(1)
    x = rng.standard_normal((ROWS, INPUTS)).astype(np.float32)
    x[:, 1] = rng.integers(0, CATEGORIES, ROWS)
    y = make_labels(rng, ROWS, 0.2)
    save(folder, {'x': x} | {f'y_{name}': label for name, label in y.items()})
    for kind in kinds:
        found = descend(make_initial(rng, kind), x, y, lambda p, x, y: loss(p, x, y, kind),
                        lambda p, x: predictions(p, x, kind))
        save(folder, {f'{kind}_{name}': value for name, value in found.items()})
    print(torch.__version__, np.__version__)
