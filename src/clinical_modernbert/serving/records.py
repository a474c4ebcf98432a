"""What is known of a request without its text: what the audit log and the metrics are made of."""

import time
from dataclasses import dataclass, field


@dataclass
class Record:
    """Filled while the request is answered."""

    who: str
    endpoint: str
    items: int = 0
    tokens: int = 0
    status: int = 0
    began: float = field(default_factory=time.perf_counter)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.perf_counter() - self.began
