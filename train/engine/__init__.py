"""The training loop: steps, optimiser, precision, progress.

start, run               how a run begins or goes on; what it works with
loop                     epochs, validation, checkpoints
step                     one optimiser step; `optim`, `precision`: optimiser, mixed precision
ema, precise_bn          averaged weights; statistics of batch norms before validation
length, stopping         when a run ends: by its length, or because somebody asks for it
probe                    whether clips can be read, before the first step
progress, records        where a run stands; what is recorded of an epoch
reporter                 what the terminal shows; `stage_progress`: which stage of how many this is
run_files, scalars       history, curves and pages; VisualDL and TensorBoard
"""
