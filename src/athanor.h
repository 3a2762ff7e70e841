/* athanor as a library: everything a program needs to open a model and draw images
 * from it, or to train one. Each header below can also be included alone.
 *
 *     ath_err err;
 *     ath_source *source;
 *     if (ath_source_open(&source, "runs/mnist", 0, &err) != ATH_OK) puts(err.text);
 *     ...ath_levels (diffusion/grid.h), ath_generate (model/generate.h), ath_grid_save (io/grid.h)
 *
 * Nothing here prints, exits or keeps global state. */
#ifndef ATHANOR_H
#define ATHANOR_H
#include "base/status.h"
#include "diffusion/grid.h"
#include "diffusion/level.h"
#include "diffusion/mixture.h"
#include "diffusion/mixture_flow.h"
#include "diffusion/net.h"
#include "diffusion/prediction.h"
#include "diffusion/sampler.h"
#include "diffusion/shaping.h"
#include "eval/report.h"
#include "eval/score.h"
#include "graph/graph.h"
#include "graph/params.h"
#include "graph/plan.h"
#include "io/dataset.h"
#include "io/gif.h"
#include "io/grid.h"
#include "io/plot.h"
#include "io/safetensors.h"
#include "model/denoiser.h"
#include "model/generate.h"
#include "model/mixture_file.h"
#include "model/model.h"
#include "model/source.h"
#include "model/weights.h"
#include "model/workers.h"
#include "train/options.h"
#include "train/trainer.h"
#endif
