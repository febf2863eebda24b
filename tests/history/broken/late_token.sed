# A claim is ended by whoever had it once: the token is not compared with the life word.
s/idem__life_owner(held->life) == claim->owner &&/true \&\&/
s/(int32_t)idem__life_attempt(held->life) == claim->record.attempt/true/
