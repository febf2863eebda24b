# A completion with a retention of its own is kept as if that were nothing.
s/idem__expires_s(op->now_ms, idem__ttl_s(ttl_ms))/idem__expires_s(op->now_ms, 0)/
