"""The stolen-certificate drill: a real broker, honest clients, a thief, and a judge.

`stage` and `mosquitto` bring up brokers; `clients` is the honest fleet on them; `thief` attacks and
knows nothing of the rest; `judge` decides by what the honest clients saw; `witness` reads from the
evidence log which layer refused; `play` puts them together; `report` and `show` tell of it.
"""
