/* diffusers' scheduler configurations: see scheduler.h. */
#include "model/scheduler.h"
#include <stdlib.h>
#include <string.h>
#include "model/json.h"

static const char *const classes[] = {"DDPMScheduler", "EDMEulerScheduler", "FlowMatchEulerDiscreteScheduler"};

void ath_scheduler_free(ath_scheduler *s) { ath_schedule_free(&s->schedule); }

ath_process ath_scheduler_process(const ath_scheduler *s) {
    ath_process p = s->process;
    p.schedule = p.kind == ATH_PROCESS_VP ? &s->schedule : NULL;
    return p;
}

/* ---- reading ---- */

static ath_status read_betas(ath_schedule *s, const json_t *list, const char *path, ath_err *err) {
    const size_t n = json_array_size(list);
    double *beta = malloc((n + 1) * sizeof *beta);
    if (!beta) return ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    for (size_t i = 0; i < n; i++) beta[i] = json_number_value(json_array_get(list, i));
    const ath_status status = ath_schedule_from_betas(s, beta, n < 2000000 ? (int)n : 2000000, err);
    free(beta);
    return status;
}

static const ath_schedule_kind *kind_of_diffusers(const char *name) {
    int n;
    const ath_schedule_kind *kinds = ath_schedule_kinds(&n);
    for (int i = 0; i < n; i++)
        if (kinds[i].diffusers && strcmp(kinds[i].diffusers, name) == 0) return &kinds[i];
    return NULL;
}

/* What a class of diffusers' means that does not say its betas. */
typedef struct beta_defaults {
    const char *class, *schedule;
    double start, end;
} beta_defaults;

static const beta_defaults usual = {"", "linear", 1e-4, 0.02};
static const beta_defaults unusual[] = {
    {"HeunDiscreteScheduler", "linear", 0.00085, 0.012},
    {"KDPM2DiscreteScheduler", "linear", 0.00085, 0.012},
    {"KDPM2AncestralDiscreteScheduler", "linear", 0.00085, 0.012},
    {"DPMSolverSDEScheduler", "linear", 0.00085, 0.012},
    {"LCMScheduler", "scaled_linear", 0.00085, 0.012},
    {"TCDScheduler", "scaled_linear", 0.00085, 0.012},
    {"UnCLIPScheduler", "squaredcos_cap_v2", 1e-4, 0.02},
};

static const beta_defaults *defaults_of(const json_t *o) {
    const char *class = json_string_value(json_object_get(o, "_class_name"));
    for (size_t i = 0; class && i < sizeof unusual / sizeof *unusual; i++)
        if (strcmp(class, unusual[i].class) == 0) return &unusual[i];
    return &usual;
}

/* "_athanor_schedule" is ours: some schedules of ours are trained_betas to diffusers. */
static ath_status read_vp(ath_schedule *s, const json_t *o, const char *path, ath_err *err) {
    const beta_defaults *dflt = defaults_of(o);
    const json_t *betas = json_object_get(o, "trained_betas");
    const char *name = json_string_value(json_object_get(o, "beta_schedule"));
    const char *ours = json_string_value(json_object_get(o, "_athanor_schedule"));
    const ath_schedule_kind *kind = ours ? ath_schedule_kind_find(ours) : NULL;
    double start, end;
    int timesteps;
    ATH_TRY(ath_json_int(o, "num_train_timesteps", 1000, 1, 1000000, &timesteps, path, err));
    ATH_TRY(ath_json_number(o, "beta_start", dflt->start, 0, 1, &start, path, err));
    ATH_TRY(ath_json_number(o, "beta_end", dflt->end, 0, 1, &end, path, err));
    if (!kind) kind = kind_of_diffusers(name ? name : dflt->schedule);
    ath_status status;
    if (json_is_array(betas) && !ours)
        status = read_betas(s, betas, path, err);
    else if (!kind)
        return ath_fail(err, ATH_E_FORMAT, "%s: beta_schedule \"%s\" is not known", path, name ? name : "");
    else
        status = ath_schedule_make(s, kind, timesteps, start, end, err);
    if (status == ATH_OK && json_is_true(json_object_get(o, "rescale_betas_zero_snr")))
        status = ath_schedule_rescale_zero_snr(s, err);
    if (status == ATH_OK) return ATH_OK;
    ath_schedule_free(s);
    return ath_fail_within(err, ATH_E_FORMAT, "%s", path);
}

static ath_status read_ve(ath_process *p, const json_t *o, const char *path, ath_err *err) {
    ATH_TRY(ath_json_number(o, "sigma_min", 0.002, 1e-9, 1e9, &p->sigma_min, path, err));
    ATH_TRY(ath_json_number(o, "sigma_max", 80, 1e-9, 1e9, &p->sigma_max, path, err));
    ATH_TRY(ath_json_number(o, "rho", 7, 0.01, 1000, &p->rho, path, err));
    if (!(p->sigma_min < p->sigma_max))
        return ath_fail(err, ATH_E_FORMAT, "%s: sigma_min %g: expected less than sigma_max, %g", path, p->sigma_min,
                        p->sigma_max);
    return ATH_OK;
}

static ath_status read_flow(ath_process *p, const json_t *o, const char *shift, const char *path, ath_err *err) {
    int timesteps;
    ATH_TRY(ath_json_int(o, "num_train_timesteps", 1000, 1, 1000000, &timesteps, path, err));
    if (timesteps != 1000) /* the network's time is a thousand times t, see ath_process_kind */
        return ath_fail(err, ATH_E_FORMAT, "%s: num_train_timesteps: %d, expected 1000 of a flow", path, timesteps);
    return ath_json_number(o, shift, 1, 1e-3, 1e3, &p->shift, path, err);
}

static ath_status read_process(ath_scheduler *s, ath_process_kind kind, const json_t *o, const char *path,
                               ath_err *err) {
    s->process.kind = kind;
    if (kind == ATH_PROCESS_VE) return read_ve(&s->process, o, path, err);
    if (kind == ATH_PROCESS_FLOW)
        return read_flow(&s->process, o, json_object_get(o, "shift") ? "shift" : "flow_shift", path, err);
    return read_vp(&s->schedule, o, path, err);
}

ath_status ath_scheduler_read_process(ath_scheduler *s, ath_process_kind kind, const json_t *object, const char *path,
                                      ath_err *err) {
    *s = (ath_scheduler){.prediction = kind == ATH_PROCESS_VE     ? ATH_EDM_F
                                       : kind == ATH_PROCESS_FLOW ? ATH_FLOW
                                                                  : ATH_EPSILON};
    return read_process(s, kind, object, path, err);
}

static bool begins_with(const char *text, const char *prefix) { return strncmp(text, prefix, strlen(prefix)) == 0; }

/* Keys and classes whose levels are none of the three processes'. */
static ath_status refuse_other_levels(const json_t *o, const char *class, bool flow, const char *path, ath_err *err) {
    const json_t *shift = json_object_get(o, "snr_shift_scale");
    if (strcmp(class, "IPNDMScheduler") == 0) /* its trained_betas are noise levels */
        return ath_fail(err, ATH_E_FORMAT, "%s: _class_name: %s has levels of its own, expected a class with betas",
                        path, class);
    if (shift && json_number_value(shift) != 1)
        return ath_fail(err, ATH_E_FORMAT, "%s: snr_shift_scale: expected 1, levels without such a shift", path);
    if (json_is_true(json_object_get(o, "invert_sigmas")))
        return ath_fail(err, ATH_E_FORMAT, "%s: invert_sigmas: true, expected false", path);
    if (!flow && json_is_true(json_object_get(o, "use_flow_sigmas")))
        return ath_fail(err, ATH_E_FORMAT,
                        "%s: use_flow_sigmas: true, expected false or the prediction_type \"flow_prediction\"", path);
    return ATH_OK;
}

/* What the network predicts, from the class and from prediction_type. */
static ath_status read_prediction(ath_prediction *p, const json_t *o, const char *path, ath_err *err) {
    const char *class = json_string_value(json_object_get(o, "_class_name"));
    const char *target = json_string_value(json_object_get(o, "prediction_type"));
    const char *time = json_string_value(json_object_get(o, "timestep_type"));
    if (!class) class = "DDPMScheduler";
    const bool flow = begins_with(class, "FlowMatch") || (target && strcmp(target, "flow_prediction") == 0);
    ATH_TRY(refuse_other_levels(o, class, flow, path, err));
    *p = flow ? ATH_FLOW : ATH_EPSILON;
    if (flow) return ATH_OK;
    if (begins_with(class, "EDM")) {
        *p = ATH_EDM_F;
        if (!target || strcmp(target, "epsilon") == 0) return ATH_OK; /* what diffusers calls EDM's F */
        return ath_fail(err, ATH_E_FORMAT, "%s: prediction_type: %s with \"%s\", expected \"epsilon\"", path, class,
                        target);
    }
    const bool betas = json_object_get(o, "beta_schedule") || json_object_get(o, "beta_start") ||
                       json_is_array(json_object_get(o, "trained_betas")) || defaults_of(o) != &usual;
    if (!betas && strcmp(class, "DDPMScheduler") != 0 && strcmp(class, "DDIMScheduler") != 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: _class_name: %s is not known, and has no betas", path, class);
    if (time && strcmp(time, "discrete") != 0)
        return ath_fail(err, ATH_E_FORMAT, "%s: timestep_type: \"%s\", expected \"discrete\"", path, time);
    if (target && ath_prediction_parse(target, p, err) != ATH_OK)
        return ath_fail_within(err, ATH_E_FORMAT, "%s: prediction_type", path);
    if (ath_prediction_process(*p) != ATH_PROCESS_VP)
        return ath_fail(err, ATH_E_FORMAT, "%s: prediction_type: \"%s\" does not go with %s", path, target, class);
    return ATH_OK;
}

ath_status ath_scheduler_read(ath_scheduler *s, const json_t *object, const char *path, ath_err *err) {
    *s = (ath_scheduler){.prediction = ATH_EPSILON};
    ath_status status = read_prediction(&s->prediction, object, path, err);
    if (status == ATH_OK) status = read_process(s, ath_prediction_process(s->prediction), object, path, err);
    if (status == ATH_OK && s->prediction == ATH_EDM_F)
        status = ath_json_number(object, "sigma_data", 0.5, 1e-6, 1e6, &s->sigma_data, path, err);
    if (status != ATH_OK) {
        ath_scheduler_free(s);
        *s = (ath_scheduler){0};
    }
    return status;
}

/* ---- writing ---- */

const char *ath_scheduler_class(const ath_scheduler *s) { return classes[s->process.kind]; }

/* The betas before any rescaling: diffusers rescales what it reads. */
static json_t *betas_of(const ath_schedule *s) {
    json_t *list = json_array();
    for (int i = 0; i < s->timesteps; i++) json_array_append_new(list, json_real(s->beta[i]));
    return list;
}

/* Of diffusers' classes DDPMScheduler alone knows "sigmoid"; all know betas. */
static bool known_to_all_classes(const ath_schedule_kind *kind) {
    return kind && kind->diffusers && strcmp(kind->diffusers, "sigmoid") != 0;
}

static void write_vp(json_t *o, const ath_schedule *s, ath_prediction prediction) {
    const bool named = known_to_all_classes(s->kind);
    if (s->kind) json_object_set_new(o, "_athanor_schedule", json_string(s->kind->name));
    json_object_set_new(o, "num_train_timesteps", json_integer(s->timesteps));
    json_object_set_new(o, "beta_start", json_real(s->kind ? s->beta_start : usual.start));
    json_object_set_new(o, "beta_end", json_real(s->kind ? s->beta_end : usual.end));
    json_object_set_new(o, "beta_schedule", json_string(named ? s->kind->diffusers : "linear"));
    json_object_set_new(o, "trained_betas", named ? json_null() : betas_of(s));
    json_object_set_new(o, "variance_type", json_string("fixed_small"));
    json_object_set_new(o, "clip_sample", json_true());
    json_object_set_new(o, "clip_sample_range", json_real(1));
    json_object_set_new(o, "prediction_type", json_string(ath_prediction_name(prediction)));
    json_object_set_new(o, "timestep_spacing", json_string(ath_spacing_name(ath_prediction_spacing(prediction))));
    json_object_set_new(o, "steps_offset", json_integer(0));
    json_object_set_new(o, "rescale_betas_zero_snr", json_boolean(s->zero_snr));
}

static void write_edm(json_t *o, const ath_process *p, double sigma_data) {
    json_object_set_new(o, "num_train_timesteps", json_integer(1000));
    json_object_set_new(o, "prediction_type", json_string("epsilon"));
    json_object_set_new(o, "sigma_min", json_real(p->sigma_min));
    json_object_set_new(o, "sigma_max", json_real(p->sigma_max));
    json_object_set_new(o, "sigma_data", json_real(sigma_data));
    json_object_set_new(o, "sigma_schedule", json_string("karras"));
    json_object_set_new(o, "rho", json_real(p->rho));
    json_object_set_new(o, "final_sigmas_type", json_string("zero"));
}

/* The last three are not the class's, but of others that are made from this file: DPMSolverMultistepScheduler and UniPC's then know
 * what to do, and DDIMScheduler fails, where it would draw nothing but noise. */
static void write_flow(json_t *o, const ath_process *p) {
    json_object_set_new(o, "num_train_timesteps", json_integer(1000));
    json_object_set_new(o, "shift", json_real(p->shift));
    json_object_set_new(o, "prediction_type", json_string("flow_prediction"));
    json_object_set_new(o, "use_flow_sigmas", json_true());
    json_object_set_new(o, "flow_shift", json_real(p->shift));
}

json_t *ath_scheduler_write(const ath_scheduler *s, const char *version) {
    json_t *o = json_object();
    json_object_set_new(o, "_class_name", json_string(ath_scheduler_class(s)));
    json_object_set_new(o, "_diffusers_version", json_string(version));
    if (s->process.kind == ATH_PROCESS_VP)
        write_vp(o, &s->schedule, s->prediction);
    else if (s->process.kind == ATH_PROCESS_VE)
        write_edm(o, &s->process, s->sigma_data);
    else
        write_flow(o, &s->process);
    return o;
}
