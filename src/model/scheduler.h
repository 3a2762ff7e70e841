/* scheduler_config.json, as diffusers writes it: the process that a model was trained for, and what its network
 * predicts. One class of diffusers' for each process is written; all classes that say the same are read. */
#ifndef ATH_MODEL_SCHEDULER_H
#define ATH_MODEL_SCHEDULER_H
#include "diffusion/prediction.h"

struct json_t; /* jansson's */

typedef struct ath_scheduler {
    ath_prediction prediction;
    ath_process process;   /* without its schedule: see ath_scheduler_process */
    ath_schedule schedule; /* of vp, owned; zero for others                   */
    double sigma_data;     /* of ATH_EDM_F                                      */
} ath_scheduler;

void ath_scheduler_free(ath_scheduler *s);                 /* accepts a zeroed one */
ath_process ath_scheduler_process(const ath_scheduler *s); /* its schedule is borrowed from `s` */

/* Reads a whole file's object. By "_class_name": FlowMatch* are flows, EDM* are EDM's, everything else with betas is vp,
 * with its class's own where the file says none
 * (a timestep is a timestep whichever of these samples it). With rescale_betas_zero_snr the last timestep is pure noise, whatever
 * the network predicts: one that predicts epsilon or the score can be sampled from any other. Keys that say how to sample are
 * passed over; those that move levels elsewhere (snr_shift_scale, invert_sigmas, continuous timesteps) are refused. Fails with
 * ATH_E_FORMAT naming `path` and the key; *s is zeroed then. */
ath_status ath_scheduler_read(ath_scheduler *s, const struct json_t *object, const char *path, ath_err *err);
/* The numbers of one kind of process alone, with diffusers' keys: betas; sigma_min, sigma_max, rho; shift. The prediction
 * is epsilon, EDM or flow by the kind. `object` may be NULL: all at their defaults. */
ath_status ath_scheduler_read_process(ath_scheduler *s, ath_process_kind kind, const struct json_t *object,
                                      const char *path, ath_err *err);

/* DDPMScheduler, EDMEulerScheduler, FlowMatchEulerDiscreteScheduler. */
const char *ath_scheduler_class(const ath_scheduler *s);
/* The object of a file, owned by the caller; `version` is that of diffusers. NULL when out of memory. */
struct json_t *ath_scheduler_write(const ath_scheduler *s, const char *version);

#endif
