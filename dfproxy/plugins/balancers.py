"""
The built-in strategies, by the names that HAProxy's users know.
"""

from __future__ import annotations

from dfproxy.balancing.base import Strategy
from dfproxy.balancing.first import First
from dfproxy.balancing.hashing import Header, Source, Uri
from dfproxy.balancing.leastconn import LeastConn
from dfproxy.balancing.roundrobin import RoundRobin
from dfproxy.balancing.sampling import PeakEwma, TwoChoices

roundrobin = Strategy("roundrobin", "each server in turn, as often as its weight says", RoundRobin)
leastconn = Strategy("leastconn", "fewest exchanges under way for the weight; for long ones", LeastConn)
random = Strategy("random", "the less busy of two drawn by chance; random(N) draws N", TwoChoices)
ewma = Strategy("ewma", "the one of two that has lately answered faster for its load", PeakEwma)
first = Strategy("first", "the first usable one, by address; the others are spares", First)
source = Strategy("source", "a client's address decides, consistently", Source)
uri = Strategy("uri", "the path decides, consistently; uri whole, uri depth N, uri len N", Uri)
hdr = Strategy("hdr", "the value of a header decides, consistently; hdr(X-User)", Header)
