"""What ``explain`` returns: saliency, with all that is needed to read it."""

from saliency.explanation.explanation import Explanation as Explanation
