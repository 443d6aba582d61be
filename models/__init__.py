"""Making a model: data sets, feature specification, network, training, calibration, evaluation, and the artefact.

data/         the simulator's and the benchmark's transactions as one frame layout; rolling windows; producers' events
features      which inputs a model reads, declared in `features.toml`
network       the denoising autoencoder with all its preprocessing inside
training      data frame in, artefact out
calibration   an alert budget becomes a threshold, a score becomes a p-value
distances     a histogram against the reference: PSI, KL, Jensen-Shannon
reference     the distribution of every signal over the training rows, and the golden rows
evaluation    the figures of a model beside the trivial baselines
registry/     trainings and models on record in MLflow, by digest; and a training repeated from its record
gates/        whether a candidate may take the place of the model that serves, or why not
pages/        HTML pages and pictures: one template engine, one style
manifest      what an artefact says of itself
artefact      one file: written, read, checked; the sha256 is its identity
runtime       a loaded artefact that scores batches: the same code for evaluation and for the stream
"""
