"""In: a model folder and texts. Out: vectors and predictions, in the caller's order, nothing cut in silence.

Next: `export` hands the model on, `tasks` and `serving` build on `Encoder`.
"""

from clinical_modernbert.inference.bag import BagOfEmbeddings
from clinical_modernbert.inference.encoder import Encoder, Pooling, SectionVector, TokenVectors
from clinical_modernbert.inference.index import Hit, Index
from clinical_modernbert.inference.masks import Prediction
from clinical_modernbert.inference.spans import Span
from clinical_modernbert.inference.task_encoder import TaskEncoder

__all__ = ["BagOfEmbeddings", "Encoder", "Hit", "Index", "Pooling", "Prediction", "SectionVector", "Span", "TaskEncoder", "TokenVectors"]
