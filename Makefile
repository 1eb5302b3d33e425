# Each target works alone, first, on a clean clone: it makes what it needs. `make help` lists them.
#
#   CONFIG=file      experiment to train instead of the demo's; for export: that of a CHECKPOINT.
#                    A folder that init wrote: its baseline and its pair
#   RUN=folder       where its training lies (train-*, export)
#   CHECKPOINT=file  weights to export instead of RUN's best
#   BUNDLE=folder    bundle to write (export) or to use (predict, evaluate, doctor, engine, triton,
#                    test-gpu)
#   PRECISION=name   fp32, fp16 or int8 (engine; fp16 if not given)
#   ENGINE_OPTIONS="..."  more options of `python -m export.tensorrt` (engine)
#   VIDEO="..."      files, folders or globs to predict
#   LABELS=file      list that holds their true labels, to mark right and wrong (predict)
#   QAT=file         settings of the fine-tune for 8 bits (qat)
#   GOAL=points      of top-1 that int8 may lose (sensitivity, qat)
#   OVERRIDES="..."  settings a.b.c=value that differ from CONFIG's (train-*, export, evaluate)
#   DATA=file        list of labelled clips instead of the config's test list (evaluate)
#   METHODS="..."    distillation methods to compare, of configs/methods (study)
#   SEEDS="..."      seeds of the study; comparing METHODS takes at least three (study)
#   CONFIGS="..."    baseline=FILE dml=FILE instead of the demo's two (study without METHODS)
#   FOLDS=number     cross-validation: every clip of the lists is a test clip once (study without
#                    METHODS)
#   CLIPS=folder     class folders of your own clips (init)
#   START=name       what their networks start from: none, embedded or imagenet (init)
#   OUT=folder       where their lists and configs go, if not my/ (init), and what is measured, if not
#                    reports/evaluation (evaluate)
#   ROOT=folder      holds a folder for each set of clips (study-real), or those of DATA (evaluate)
#   SETS="..."       these folders (study-real)
#   ADD="..."        folders with earlier results, pooled as well (study-real)
#   STUDENT_START=file  weights that the student starts from, baseline's and pair's (study-real)
#   TEACHER_START=file  the same for the teacher (study-real)
#   REDUCE_RANGE=1   int8 weights of 7 bits, for CPUs without VNNI (export, study without METHODS,
#                    study-real)
#   SEED=number      seed of a training instead of the config's
#   PYTHON=command   interpreter that .venv is made of; 3.10, 3.11 or 3.12
#   JOBS=number      tests that run side by side (test, torture)
#   ALL=1            also data, runs, bundles and the demo's report (clean)
#
# A variable that no target has, or that the targets asked for do not read, is an error.

PYTHON ?= python3
CONFIG ?=
RUN ?=
CHECKPOINT ?=
BUNDLE ?=
VIDEO ?= data/motions/test/0000*.mp4
# True labels of the embedded dataset's clips; a bundle of the user's own may have other classes.
LABELS ?= $(if $(own)$(filter-out file,$(origin VIDEO)),,data/motions/test.list)
SEED ?=
OVERRIDES ?=
METHODS ?=
SEEDS ?=
CONFIGS ?=
FOLDS ?=
CLIPS ?=
START ?=
OUT ?=
ROOT ?=
SETS ?=
ADD ?=
REDUCE_RANGE ?=
QAT ?=
GOAL ?=
DATA ?=
JOBS ?= 2

$(foreach name,CONFIG RUN CHECKPOINT BUNDLE,$(if $(word 2,$($(name))),$(error $(name)=$($(name)): \
    make takes no spaces in names; python -m train and python -m export do)))

# What each target reads, those among it that it may have to make first; PYTHON is everybody's.
trains := SEED OVERRIDES
exports := CONFIG RUN CHECKPOINT BUNDLE $(trains)
reads_init := CLIPS OUT START
reads_train-baseline := CONFIG RUN $(trains)
reads_train-dml := $(reads_train-baseline)
reads_train := $(trains)
reads_export := $(exports) REDUCE_RANGE
reads_predict := $(exports) VIDEO LABELS
reads_evaluate := CONFIG RUN CHECKPOINT BUNDLE OVERRIDES DATA ROOT OUT
reads_sensitivity := $(exports) GOAL
reads_qat := $(exports) QAT GOAL
reads_engine := $(exports) PRECISION ENGINE_OPTIONS
reads_triton := $(exports)
reads_benchmark := CONFIG $(trains)
reads_perturb := $(reads_benchmark)
reads_report := $(reads_benchmark)
reads_demo := $(trains) VIDEO LABELS
reads_study := METHODS SEEDS OVERRIDES $(if $(METHODS),,CONFIGS FOLDS REDUCE_RANGE)
reads_study-real := ROOT SETS ADD STUDENT_START TEACHER_START SEEDS CONFIGS FOLDS OVERRIDES REDUCE_RANGE
reads_doctor := BUNDLE
reads_test := JOBS
reads_test-gpu := BUNDLE
reads_torture := JOBS
reads_clean := ALL

goals := $(or $(MAKECMDGOALS),help)
read := PYTHON $(foreach goal,$(goals),$(reads_$(goal)))
given := $(foreach name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(name)))),$(name)))
# A target that is made first by a call of make itself gets the variables of the first.
unread := $(if $(filter 0,$(MAKELEVEL)),$(filter-out $(read),$(given)))
$(if $(unread),$(error $(goals) does not read $(addsuffix =,$(unread)): it takes $(addsuffix \
    =,$(sort $(read))); the comment at the top of the Makefile says what they mean))

VENV := .venv
PY := $(VENV)/bin/python
comma := ,

# paddle2onnx and polygraphy would fetch packages by themselves; setup.cfg names them instead.
export POLYGRAPHY_AUTOINSTALL_DEPS := 0
# Every installation is pinned, that of the build tools too.
export PIP_CONSTRAINT := constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

MAKEFLAGS += --no-builtin-rules --no-print-directory
# One target at a time, except the two exports of a pair (AT_ONCE, which this file alone sets).
ifndef AT_ONCE
.NOTPARALLEL:
endif
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup init data teacher train train-baseline train-dml export predict evaluate \
    sensitivity qat engine triton benchmark perturb report demo study study-real doctor docs \
    test test-gpu test-corpus test-triton triton-server torture lint clean
.PHONY: export-alone export-paired

help: ## list the targets
	@echo "Targets (the comment at the top of the Makefile explains CONFIG=, RUN=, VIDEO=, ...):"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-15s %s\n", $$1, $$2}' Makefile

# --- environment: stamps, so that a second run installs nothing --------------------------------

$(VENV)/made:
	@$(PYTHON) -c 'import sys' || { \
	    echo "error: '$(PYTHON)' does not run; name another: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' || { \
	    echo "error: CPython 3.10, 3.11 or 3.12 is needed (paddle2onnx has wheels for no later one);" \
	        "'$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { \
	    echo "error: '$(PYTHON)' lacks the venv module (Debian, Ubuntu: apt install python3-venv)" >&2; \
	    exit 1; }
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@touch $@

# $(call install,extras,what it is for): one line a package while it runs, all of it in a log.
define install
@echo "installing $(2) into $(VENV) (log: $(VENV)/install.log)"
@{ $(PY) -m pip install --progress-bar off --editable ".[$(1)]" 2>&1; \
    echo "pip-exit $$?"; } | tee $(VENV)/install.log | awk ' \
    /^Collecting / { printf "  %s\n", $$2; fflush() } \
    /^Installing collected/ { print "  unpacking ..."; fflush() } \
    /^ *(ERROR|error)/ { print } \
    /^pip-exit / { code = $$2 } \
    END { exit code }'
@# What is installed is `clipduet`; train, export and benchmarks are found in the checkout.
@$(PY) -c "import site; print(site.getsitepackages()[0])" | { read -r folder; \
    echo "$(CURDIR)" > "$$folder/clipduet-checkout.pth"; }
endef

$(VENV)/setup: $(VENV)/made setup.cfg pyproject.toml constraints.txt
	$(call install,train$(comma)export$(comma)report,what training$(comma) export and reports need)
	@$(PY) -c 'import av, cv2, numba, onnx, onnxruntime, paddle' 2> $(VENV)/import.log || { \
	    cat $(VENV)/import.log >&2; echo "error: an installed package cannot be loaded; when a library" \
	        "such as libgomp.so.1 is missing: apt install libgomp1" >&2; exit 1; }
	@touch $@

$(VENV)/dev: $(VENV)/setup
	$(call install,dev,what tests and checks need)
	@touch $@

$(VENV)/corpus: $(VENV)/dev
	$(call install,dev$(comma)replicas,what a corpus and replicas need)
	@touch $@

$(VENV)/docs: $(VENV)/made setup.cfg pyproject.toml constraints.txt
	$(call install,docs,what the documentation needs)
	@touch $@

setup: $(VENV)/setup ## create .venv with the pinned versions of constraints.txt

# --- the main road -----------------------------------------------------------------------------

# What init wrote has the names of its folder, as the commands do that it prints.
both := $(and $(CONFIG),$(wildcard $(CONFIG)/baseline.yaml),$(wildcard $(CONFIG)/dml.yaml))
mine := $(if $(both),$(notdir $(abspath $(CONFIG))))
alone := $(if $(both),$(mine)-baseline,baseline)
paired := $(if $(both),$(mine)-dml,dml)
BASELINE := $(if $(both),$(CONFIG:%/=%)/baseline.yaml,configs/motions_baseline.yaml)
DML := $(if $(both),$(CONFIG:%/=%)/dml.yaml,configs/motions_dml.yaml)
REPORTS := reports/$(or $(mine),demo)
# The one config of a run.
config := $(if $(both),$(DML),$(CONFIG))
$(if $(both),$(if $(RUN)$(CHECKPOINT)$(if $(filter export,$(goals)),$(BUNDLE)),$(error CONFIG=$(CONFIG) is \
    a folder with the configs of two runs, which name all that is made: leave RUN=$(comma) CHECKPOINT= \
    and BUNDLE= out)))
# $(call train,config,run): continues a run that stopped, does nothing when it is complete.
train_cmd = $(PY) -m train -c $(1) --output $(2) --resume $(if $(SEED),--seed $(SEED)) $(addprefix -o ,$(OVERRIDES))
seven_bits := $(if $(filter 1,$(REDUCE_RANGE)),--reduce-range)
export_cmd = $(PY) -m export --checkpoint $(1) $(addprefix -c ,$(2)) --out $(3) $(addprefix -o ,$(OVERRIDES)) $(seven_bits)
# $(call up_to_date,bundles): what is said to make them again where they are not those of the weights.
up_to_date = [ -x $(PY) ] && $(PY) -m benchmarks.up_to_date $(1)

# Exit status 1 says that some clips cannot be read; what was to be written is written.
init: setup ## lists and configs for class folders of your own clips (my/; CLIPS= OUT= START=)
	@[ -n '$(CLIPS)' ] || { echo "error: CLIPS= names the folder that holds the class folders" >&2; exit 2; }
	@$(PY) -m train.init --clips '$(CLIPS)' $(if $(OUT),--out '$(OUT)') $(addprefix --start ,$(START))

data: setup ## write the embedded dataset of motions (data/motions)
	@$(PY) -m train.data.motions --out data/motions

train-baseline: setup $(if $(CONFIG),,data) ## train the student alone (runs/baseline; CONFIG= RUN= SEED=)
	@$(call train_cmd,$(if $(both),$(BASELINE),$(or $(CONFIG),$(BASELINE))),$(or $(RUN),runs/$(alone)))

train-dml: setup $(if $(CONFIG),,data) ## train the pair that teaches each other (runs/dml; CONFIG= RUN= SEED=)
	@$(call train_cmd,$(or $(config),$(DML)),$(or $(RUN),runs/$(paired)))

# Seed 5 is that of the teacher that comes with the checkout; of the two that were tried (3 and 5)
# it was better on the validation list. No study uses it.
teacher: data ## train again the teacher that the demo starts from (configs/pretrained)
	@$(call train_cmd,configs/motions_teacher.yaml,runs/teacher) $(if $(SEED),,--seed 5)
	@$(PY) -m benchmarks.ready_teacher runs/teacher

train: data ## train both side by side, each on half of the cores (logs: runs/*/train.log)
	@$(PY) -m benchmarks.side_by_side $(BASELINE)=runs/baseline $(DML)=runs/dml \
	    $(if $(SEED),--seed $(SEED)) $(addprefix -o ,$(OVERRIDES))

# A training of the user's own is exported as it is; the demo's two, and the two of a folder, are
# trained first if need be.
own := $(CONFIG)$(RUN)$(CHECKPOINT)$(BUNDLE)
trained := $(if $(both),train-baseline train-dml,$(if $(own),setup,train))
run := $(or $(patsubst %/,%,$(RUN)),runs/$(paired))
export: $(trained) ## make deployment bundles (bundles/*; CONFIG= RUN= CHECKPOINT= BUNDLE=)
ifneq ($(if $(both),,$(own)),)
	@[ -z '$(CONFIG)' ] || [ -n '$(RUN)$(CHECKPOINT)' ] || { \
	    echo "error: CONFIG= says how a RUN= or CHECKPOINT= was trained: name one" >&2; exit 2; }
	@$(call export_cmd,$(or $(CHECKPOINT),$(run)/best.pdparams),$(CONFIG),$(or \
	    $(BUNDLE),bundles/$(notdir $(run))))
else
	@$(MAKE) --jobs=2 --output-sync=target AT_ONCE=1 export-alone export-paired
endif
export-alone:
	@$(call export_cmd,runs/$(alone)/best.pdparams,$(BASELINE),bundles/$(alone))
export-paired:
	@$(call export_cmd,runs/$(paired)/best.pdparams,$(DML),bundles/$(paired))

bundle := $(patsubst %/,%,$(or $(BUNDLE),bundles/$(notdir $(run))))
best := $(or $(CHECKPOINT),$(run)/best.pdparams)
# A bundle that is named is used as it is.
exported = $(if $(BUNDLE),:,$(call up_to_date,$(bundle)=$(best)))
predict: setup ## classify video files; without a bundle all before it is made first (VIDEO="files, folders, globs" LABELS= BUNDLE=)
	@$(exported) || $(MAKE) export
	@$(PY) infer/predict.py --bundle $(bundle) --video $(VIDEO) $(addprefix --labels ,$(LABELS))

evaluate: setup ## measure a run, checkpoint or bundle on a list (RUN= CHECKPOINT= BUNDLE= DATA= ROOT= OUT=)
	@$(PY) -m train.evaluate --checkpoint $(or $(BUNDLE),$(CHECKPOINT),$(run)) $(addprefix -c ,$(config)) \
	    $(addprefix --data ,$(DATA)) $(addprefix --root ,$(ROOT)) $(addprefix --out ,$(OUT)) \
	    $(addprefix -o ,$(OVERRIDES))

QAT_SETTINGS := configs/motions_qat.yaml
run_config = $(addprefix -c ,$(or $(config),$(if $(own)$(BUNDLE),,$(DML))))
# The goal: points of top-1 that int8 may lose on the validation clips.
sensitivity: setup ## which layers 8 bits hurt, and the fewest to keep in float (BUNDLE= CONFIG= GOAL=)
	@$(exported) || $(MAKE) export
	@$(PY) -m export.sensitivity --bundle $(bundle) $(run_config) --goal $(or $(GOAL),0.5) \
	    $(addprefix -o ,$(OVERRIDES))

qat: $(trained) ## fine-tune for 8 bits, and export that (bundles/*_qat; CONFIG= RUN= QAT= BUNDLE= GOAL=)
	@$(PY) -m export.qat --checkpoint $(best) $(run_config) --qat $(or $(QAT),$(QAT_SETTINGS)) \
	    --out $(run)_qat --resume $(addprefix -o ,$(OVERRIDES))
	@$(PY) -m export --checkpoint $(best) $(run_config) --qat $(run)_qat \
	    --out $(or $(BUNDLE),bundles/$(notdir $(run))_qat) $(if $(GOAL),--int8-goal $(GOAL)) \
	    --require int8 $(addprefix -o ,$(OVERRIDES))

engine: setup ## build a TensorRT engine for this machine's GPU (BUNDLE= PRECISION=)
	@$(exported) || $(MAKE) export
	@$(PY) -m export.tensorrt --bundle $(bundle) $(addprefix --precision ,$(PRECISION)) $(ENGINE_OPTIONS)

triton: setup ## write a Triton model repository (bundles/NAME.triton; BUNDLE=)
	@$(exported) || $(MAKE) export
	@$(PY) -m export.triton --bundle $(bundle) --out bundles/$(notdir $(bundle)).triton --overwrite

pair := $(foreach name,$(alone) $(paired),bundles/$(name)=runs/$(name)/best.pdparams)
compared := --baseline bundles/$(alone) --student bundles/$(paired) \
    $(if $(both),-c $(DML),--data data/motions/test.list --root data/motions)
two_or_none = [ -z '$(CONFIG)' ] || [ -n '$(both)' ] || { echo "error: CONFIG= names a folder that init" \
    "wrote, with baseline.yaml and dml.yaml, for the gate to compare" >&2; exit 2; }
gate = $(PY) -m benchmarks.gain $(compared) --seconds 5 \
    --out $(REPORTS)/results.json --report $(REPORTS)

benchmark: setup ## the gate: is the gain still there in every deployment (reports/demo; CONFIG=FOLDER of init)
	@$(two_or_none)
	@$(call up_to_date,$(pair)) || $(MAKE) export
	@$(gate)

perturb: setup ## is the gain there under other cameras, and in int8 (reports/demo/perturb; CONFIG=FOLDER of init)
	@$(two_or_none)
	@$(call up_to_date,$(pair)) || $(MAKE) export
	@$(PY) -m benchmarks.perturb $(compared) --out $(REPORTS)/perturb

report: setup ## Markdown, HTML and CSV of what was measured (reports/demo; measures first if need be)
	@$(two_or_none)
	@$(call up_to_date,$(pair) --results $(REPORTS)/results.json) || $(MAKE) benchmark
	@$(PY) -m benchmarks.report $(REPORTS)/results.json --out $(REPORTS)

# What the gate finds is the demo's result and not a mistake in it.
demo: data train export predict ## everything: data, training, bundles, predictions, report
	@$(gate) --tell-only
	@echo "It is about one seed, the first of the study's ten: reports/study/report.md."

# METHODS="kd dkd ..." names files of configs/methods; two of them learn from clips without labels.
UNLABELLED := --out data/motions_unlabelled --train 1600 --val 0 --test 0 --seed 1
study_options = $(if $(SEEDS),--seeds $(SEEDS)) $(addprefix -o ,$(OVERRIDES))
study: $(if $(CONFIGS),setup,data) ## what DML brings, over seeds (hours; CONFIGS= FOLDS=); METHODS="kd dkd ..." compares methods instead
ifeq ($(METHODS),)
	@$(PY) -m benchmarks.study $(study_options) $(if $(CONFIGS),--configs $(CONFIGS)) $(addprefix --folds ,$(FOLDS)) \
	    $(seven_bits)
else
	@$(if $(filter semi ssld,$(METHODS)),$(PY) -m train.data.motions $(UNLABELLED))
	@$(PY) -m benchmarks.methods $(METHODS) $(study_options)
endif

study-real: setup ## folds of several sets of real clips, judged and pooled (hours; ROOT= SETS= FOLDS= SEEDS= ADD= REDUCE_RANGE=; reports/real)
	@[ -n '$(ROOT)' ] || { echo "error: ROOT= names the folder that holds the sets" >&2; exit 2; }
	@$(PY) -m benchmarks.real --root $(ROOT) $(study_options) $(if $(SETS),--sets $(SETS)) \
	    $(if $(ADD),--add $(ADD)) $(if $(CONFIGS),--configs $(CONFIGS)) $(addprefix --folds ,$(FOLDS)) \
	    $(seven_bits)

doctor: setup ## show which backends run here, and why the others cannot (BUNDLE= says what could run it)
	@$(PY) -m infer.doctor $(if $(BUNDLE),--bundle $(BUNDLE))

# --- checks ------------------------------------------------------------------------------------

test: lint ## lint, then the tests (JOBS= at a time)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -q -n $(JOBS) --dist loadfile --durations 10

test-gpu: $(VENV)/dev ## what needs a GPU; without one it skips and says why (reports/gpu; BUNDLE=)
	@CLIPDUET_GPU_REPORT=reports/gpu CLIPDUET_BUNDLE=$(BUNDLE) \
	    $(PY) -m pytest -v tests/gpu -p no:xdist

# A Triton server with its Python backend, and its client, in an environment of their own.
$(VENV)/triton/made: $(VENV)/made tests/triton.txt
	@rm -rf $(VENV)/triton
	@$(PY) -m venv $(VENV)/triton
	@echo "installing a Triton server into $(VENV)/triton"
	@PIP_CONSTRAINT= $(VENV)/triton/bin/python -m pip install --quiet -r tests/triton.txt
	@touch $@

triton-server: $(VENV)/triton/made ## a Triton server for tests and load tests (60 MB to load; .venv/triton)

test-triton: $(VENV)/dev $(VENV)/triton/made ## what needs a Triton server
	@OMP_NUM_THREADS=1 $(PY) -m pytest -v -n 0 tests/export/triton

test-corpus: $(VENV)/corpus ## what needs Ray: the corpus, and the service with replicas
	@OMP_NUM_THREADS=1 $(PY) -m pytest -v -n 0 tests/infer/corpus tests/benchmarks/corpus \
	    tests/infer/serve/test_replicas.py

torture: $(VENV)/dev ## what has to hold over thousands of tries (an hour)
	@OMP_NUM_THREADS=1 $(PY) -m pytest -v -n $(JOBS) -m torture --durations 0

lint: $(VENV)/dev ## style, types and the direction of imports
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

docs: $(VENV)/docs ## the documentation as a site (build/site); a broken link or anchor is an error
	@NO_MKDOCS_2_WARNING=1 $(VENV)/bin/mkdocs build
	@echo "The site: build/site/index.html"

clean: ## remove .venv and caches; ALL=1 also data, runs, bundles and the demo's report
	@rm -rf $(VENV) *.egg-info build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@$(if $(filter 1,$(ALL)),rm -rf data runs bundles $(REPORTS))
