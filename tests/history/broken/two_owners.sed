# A new record goes behind the records of its order, not at the link that was seen: another may have come.
s/result = claim_absent(/(void)idem__list_walk(op->region, start, order + 1, \&at, true); result = claim_absent(/
