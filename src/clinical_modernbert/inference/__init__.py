"""In: a model folder and texts. Out: vectors and predictions, in the caller's order, nothing cut in silence.

Next: `export` hands the model on, `tasks` and `serving` build on `Encoder`.
"""

from clinical_modernbert.inference.bag import BagOfEmbeddings
from clinical_modernbert.inference.encoder import Encoder, Pooling, Prediction

__all__ = ["BagOfEmbeddings", "Encoder", "Pooling", "Prediction"]
