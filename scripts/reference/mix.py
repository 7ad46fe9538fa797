"""A mix of layers learned by PyTorch, for test/unit/mixFit.test.ts: the same objective and the same optimiser as
extension/engine/analysis/embeddings/mixFit.ts, with gradients by autograd in float64.

    pip install torch
    python scripts/reference/mix.py
"""
import json

import torch

torch.manual_seed(3)
N, LAYERS, WIDTH, CLASSES = 60, 4, 6, 3
STEPS, RATE, DECAY = 300, 0.02, 1e-3
labels = torch.randint(0, CLASSES, (N,))
centres = torch.randn(CLASSES, WIDTH, dtype=torch.float64)
# Layer 2 tells most of the label, layer 1 a little, the others nothing.
signal = [0.0, 0.4, 1.2, 0.0]
layers = torch.stack([torch.randn(N, WIDTH, dtype=torch.float64) + strength * centres[labels] for strength in signal])
layers = (layers * 1000).round() / 1000

w = torch.zeros(LAYERS, dtype=torch.float64, requires_grad=True)
gamma = torch.ones(1, dtype=torch.float64, requires_grad=True)
matrix = torch.zeros(CLASSES, WIDTH, dtype=torch.float64, requires_grad=True)
bias = torch.zeros(CLASSES, dtype=torch.float64, requires_grad=True)
optimiser = torch.optim.Adam([w, gamma, matrix, bias], lr=RATE)
for _ in range(STEPS):
    optimiser.zero_grad()
    mixed = gamma * torch.einsum("k,knd->nd", torch.softmax(w, 0), layers)
    logits = mixed @ matrix.T + bias
    loss = torch.nn.functional.cross_entropy(logits, labels) + DECAY * (matrix**2).sum()
    loss.backward()
    optimiser.step()

with torch.no_grad():
    logits = gamma * torch.einsum("k,knd->nd", torch.softmax(w, 0), layers) @ matrix.T + bias
with open("test/fixtures/embeddings/mix.json", "w") as file:
    json.dump({
        "classes": CLASSES, "width": WIDTH, "steps": STEPS, "rate": RATE, "decay": DECAY,
        "layers": [layer.ravel().tolist() for layer in layers], "labels": labels.tolist(),
        "weights": torch.softmax(w, 0).tolist(), "gamma": gamma.item(), "loss": loss.item(),
        "accuracy": (logits.argmax(1) == labels).double().mean().item(),
    }, file)
print(torch.softmax(w, 0), gamma, loss)
