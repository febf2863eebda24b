# The protocol models: tests/model/*.pml, searched by Spin (run.py, docs/models.md).

.PHONY: prove-models run-prove-models
prove-models:  ## the Spin models within their full bounds, and that each mutation fails (half an hour)
	@.ci/setup build python test
	@$(AGAIN) run-prove-models

run-prove-models:
	@FULL=1 nice python3 tests/model/run.py
