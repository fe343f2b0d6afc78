"""Error rates, areas, clusterings and their intervals, on plain arrays."""

from facerec.metrics.classification import class_accuracy as class_accuracy
from facerec.metrics.classification import class_auc as class_auc
from facerec.metrics.classification import class_auc_bootstrap as class_auc_bootstrap
from facerec.metrics.classification import confusion as confusion
from facerec.metrics.intervals import bootstrap as bootstrap
from facerec.metrics.intervals import mean_interval as mean_interval
from facerec.metrics.intervals import people_weights as people_weights
from facerec.metrics.intervals import percentile_interval as percentile_interval
from facerec.metrics.intervals import share_interval as share_interval
from facerec.metrics.roc import Roc as Roc
from facerec.metrics.roc import accuracy as accuracy
from facerec.metrics.roc import all_pairs as all_pairs
from facerec.metrics.roc import auc as auc
from facerec.metrics.roc import best_threshold as best_threshold
from facerec.metrics.roc import det_points as det_points
from facerec.metrics.roc import eer as eer
from facerec.metrics.roc import error_rates as error_rates
from facerec.metrics.roc import fold_accuracies as fold_accuracies
from facerec.metrics.roc import roc as roc
from facerec.metrics.roc import standard_error as standard_error
from facerec.metrics.roc import tar_at_fmr as tar_at_fmr
from facerec.metrics.roc import threshold_at_fmr as threshold_at_fmr
from facerec.vectors import MAX_DISTANCE as MAX_DISTANCE
