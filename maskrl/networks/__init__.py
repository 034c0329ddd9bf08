"""Networks from observations to features, logits and values; they know no distribution.

`make_encoder` reads any Dict observation; the heads turn its features into logits and
a value, and `RecurrentCore` remembers in between. Parts can be used alone.
"""
