"""Item banks: item parameters, abilities and answers of past models, kept so that a new model needs no fit."""
