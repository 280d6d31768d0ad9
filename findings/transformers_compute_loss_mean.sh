#!/usr/bin/env bash
# transformers 5.24.0: a compute_loss_func that returns a mean trains with gradient_accumulation_steps times the gradient.
#
# Trainer divides the loss of a micro-batch by the number of accumulated ones, but not for a compute_loss_func: it counts as one
# that has divided by num_items_in_batch, whether it did or not. A function that returns the usual mean, and agrees with the
# model's own loss for one step, gives with 4 steps a logged loss of 13.8 in place of 3.5, and a step four times as long.
# Seen with torch 2.13.0 and accelerate 1.15.0, on a model of two layers.
# Exits 1 if the mean is divided.
set -euo pipefail

home=$(mktemp -d)
trap 'rm -rf "$home"' EXIT
python3 -m venv "$home/venv"
"$home/venv/bin/pip" install --quiet --disable-pip-version-check \
  torch==2.13.0 numpy==2.4.6 transformers==5.24.0 accelerate==1.15.0

cd "$home"
HF_HUB_OFFLINE=1 "$home/venv/bin/python" -W ignore - <<'PYTHON'
import sys

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments


def mean(outputs, labels, num_items_in_batch=None):
    return cross_entropy(outputs.logits[:, :-1].transpose(1, 2), labels[:, 1:])


def step(accumulation, function):
    """The first logged loss, and how far one step of SGD moves the last layer."""
    torch.manual_seed(0)
    tokens = torch.randint(32, (4, 12))
    data = [{"input_ids": row, "labels": row} for row in tokens]
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=32, **sizes))
    before = model.lm_head.weight.detach().clone()
    arguments = TrainingArguments(
        "out", per_device_train_batch_size=4 // accumulation, gradient_accumulation_steps=accumulation, max_steps=1,
        optim="sgd", learning_rate=0.1, max_grad_norm=0, logging_steps=1, use_cpu=True, save_strategy="no", report_to=[],
        disable_tqdm=True,
    )
    trainer = Trainer(model, arguments, train_dataset=data, compute_loss_func=function)
    trainer.train()
    return trainer.state.log_history[0]["loss"], (model.lm_head.weight - before).norm().item()


once, own, four = step(1, mean), step(4, None), step(4, mean)
print("one batch of 4, the function:      loss %.3f, step %.4f" % once)
print("4 batches of 1, the model's loss:  loss %.3f, step %.4f" % own)
print("4 batches of 1, the function:      loss %.3f, step %.4f" % four)
assert all(abs(a - b) < 1e-3 for a, b in zip(once, own))
sys.exit(not all(abs(a / b - 4) < 1e-2 for a, b in zip(four, once)))
PYTHON
