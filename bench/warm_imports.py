"""What `protokol serve` imports, for a process that forks it again and again (bench.warm)."""

import protokol  # noqa: F401
import retrieval_api.cli
import retrieval_api.server  # noqa: F401
