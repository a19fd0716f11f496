"""What the trainers for tables share: reading files, finding kinds and task, encoding, scoring, saving, predicting.

read -> kinds -> target -> split -> encoder -> (the trainer's model) -> scores -> store -> predictor
"""
