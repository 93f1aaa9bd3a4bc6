#!/usr/bin/env python3
"""A small model trained for real with PyTorch: prints one JSON line with what was completed and what memory was seen.

usage: train.py [--steps N] [--warmup N] [--graph] [--hold BYTES] [--overshoot BYTES]

--graph      replay the training step as a CUDA graph
--overshoot  afterwards ask for this many bytes and report whether that was refused as out of memory
"""
import argparse
import json
import sys
import time

try:
    import torch
except ImportError:
    print("skip: PyTorch is not installed", file=sys.stderr)
    sys.exit(77)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--warmup", type=int, default=50)
    parser.add_argument("--graph", action="store_true")
    parser.add_argument("--overshoot", type=int, default=0)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("skip: PyTorch sees no GPU", file=sys.stderr)
        return 77

    torch.manual_seed(1)
    width, batch = 2048, 4096
    model = torch.nn.Sequential(
        torch.nn.Linear(width, width), torch.nn.ReLU(), torch.nn.Linear(width, width), torch.nn.ReLU(),
        torch.nn.Linear(width, 1)).cuda()
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01)
    x = torch.randn(batch, width, device="cuda")
    y = x[:, :1] * 2 - x[:, 1:2]

    def step():
        optimiser.zero_grad(set_to_none=False)
        loss = torch.nn.functional.mse_loss(model(x), y)
        loss.backward()
        optimiser.step()
        return loss

    first = float(step())
    if options.graph:
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            captured = step()
        run = graph.replay
    else:
        run = step
    for _ in range(options.warmup):
        run()
    torch.cuda.synchronize()
    begin = time.monotonic()
    for _ in range(options.steps):
        run()
    torch.cuda.synchronize()
    seconds = time.monotonic() - begin
    last = float(captured if options.graph else step())
    free, total = torch.cuda.mem_get_info()
    report = {"steps": options.steps, "seconds": round(seconds, 4), "steps_per_second": round(options.steps / seconds, 2),
              "loss_first": first, "loss_last": last, "total_bytes": total, "free_bytes": free,
              "properties_total_bytes": torch.cuda.get_device_properties(0).total_memory}
    if options.overshoot:
        try:
            torch.empty(options.overshoot, dtype=torch.uint8, device="cuda")
            report["overshoot"] = "allowed"
        except torch.cuda.OutOfMemoryError:
            report["overshoot"] = "refused"
        report["usable_after"] = float(torch.ones(1000, device="cuda").sum()) == 1000.0
    print(json.dumps(report))
    return 0 if last < first else 1


if __name__ == "__main__":
    sys.exit(main())
