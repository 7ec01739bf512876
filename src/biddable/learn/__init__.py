"""Whatever calls `optimizer.step()`: loop.py, then one file a stage, top to bottom like a script."""
