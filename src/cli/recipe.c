/* Samplers and levels from what was typed: see recipe.h. */
#include "cli/recipe.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli/cli.h"
#include "model/json.h"

void cli_recipe_free(cli_recipe *r) {
    free(r->config);
    free(r->level);
    *r = (cli_recipe){0};
}

/* ---- the sampler ---- */

/* Takes ",final=VALUE" out of the sampler's text: it is the grid's, whatever the sampler. */
static ath_status take_final(char *text, char *final, ath_err *err) {
    char *colon = strchr(text, ':'), *key = colon ? strstr(colon, "final=") : NULL;
    while (key && key[-1] != ':' && key[-1] != ',') key = strstr(key + 1, "final="); /* that was lower_order_final */
    if (!key) return ATH_OK;
    const size_t len = strcspn(key, ",");
    if (len - 6 >= ATH_TEXT_LEN) return ath_fail(err, ATH_E_ARG, "--sampler: final: the value is too long");
    memcpy(final, key + 6, len - 6);
    final[len - 6] = 0;
    char *rest = key + len;
    if (*rest) /* "a:final=x,b" and "a:b,final=x" */
        memmove(key, rest + 1, strlen(rest));
    else
        key[-1] = 0;
    return ATH_OK;
}

static ath_status set_shortcut(cli_recipe *r, const char *key, const char *value, ath_err *err) {
    const ath_sampler *s = r->sampler;
    if (!ath_options_find(s->options, s->n_options, key))
        return ath_fail(err, ATH_E_ARG, "--%s: the sampler %s has no such option", key, s->name);
    const ath_status status = ath_options_set(s->options, s->n_options, r->config, key, value, err);
    return status == ATH_OK ? ATH_OK : ath_fail_within(err, status, "--%s", key);
}

static ath_status make_sampler(cli_recipe *r, const cli_recipe_request *q, char *final, ath_err *err) {
    char text[2 * ATH_TEXT_LEN], value[32];
    if (strlen(q->sampler) >= sizeof text) return ath_fail(err, ATH_E_ARG, "--sampler: the text is too long");
    strcpy(text, q->sampler);
    ATH_TRY(take_final(text, final, err));
    ATH_TRY(cli_sampler(text, &r->sampler, &r->config, err));
    snprintf(value, sizeof value, "%d", q->order);
    if (q->order > 0) ATH_TRY(set_shortcut(r, "order", value, err));
    snprintf(value, sizeof value, "%.17g", q->eta);
    if (!isnan(q->eta)) ATH_TRY(set_shortcut(r, "eta", value, err));
    return ATH_OK;
}

/* ---- the levels ---- */

static ath_status number_at(const json_t *list, const char *what, size_t i, const char *path, double *out,
                            ath_err *err) {
    const json_t *item = json_array_get(list, i);
    const char *text = json_string_value(item);
    if (text && strcmp(text, "inf") == 0)
        *out = (double)INFINITY;
    else if (json_is_number(item))
        *out = json_number_value(item);
    else
        return ath_fail(err, ATH_E_FORMAT, "%s: %s %zu is not a number", path, what, i);
    return ATH_OK;
}

/* Timesteps, then the clean level, as diffusers lists them. */
static ath_status levels_of_timesteps(cli_recipe *r, const ath_process *p, const json_t *list, const char *path,
                                      ath_err *err) {
    const size_t n = json_array_size(list);
    const bool flow = p->kind == ATH_PROCESS_FLOW;
    if (!flow && !p->schedule)
        return ath_fail(err, ATH_E_FORMAT, "%s: this model has no timesteps: expected \"sigmas\"", path);
    const double most = flow ? 1000 : p->schedule->timesteps - 1;
    for (size_t i = 0; i < n; i++) {
        double t = 0;
        ATH_TRY(number_at(list, "timestep", i, path, &t, err));
        if (!(t >= 0 && t <= most) || (flow && t == 0))
            return ath_fail(err, ATH_E_FORMAT, "%s: timestep %zu is not a number from 0 to %g", path, i, most);
        if (i && t >= r->level[i - 1].t)
            return ath_fail(err, ATH_E_FORMAT, "%s: timestep %zu is not below the one before it", path, i);
        r->level[i] = flow ? ath_process_level(p, t / (most - t)) : ath_schedule_level(p->schedule, t);
    }
    r->level[n] = ath_process_level(p, 0);
    r->n_steps = (int)n;
    return ATH_OK;
}

/* sigma/alpha of every level, the end included. */
static ath_status levels_of_sigmas(cli_recipe *r, const ath_process *p, const json_t *list, const char *path,
                                   ath_err *err) {
    const size_t n = json_array_size(list);
    double *ratio = malloc(n * sizeof *ratio);
    ath_status status = ratio ? ATH_OK : ath_fail(err, ATH_E_MEM, "%s: out of memory", path);
    for (size_t i = 0; i < n && status == ATH_OK; i++) status = number_at(list, "sigma", i, path, &ratio[i], err);
    if (status == ATH_OK) {
        status = ath_levels_from_ratios(p, ratio, (int)n, r->level, err);
        if (status != ATH_OK) status = ath_fail_within(err, ATH_E_FORMAT, "%s", path);
    }
    free(ratio);
    r->n_steps = (int)n - 1;
    return status;
}

static ath_status read_levels(cli_recipe *r, const ath_process *p, const char *path, ath_err *err) {
    json_t *object;
    ATH_TRY(ath_json_read(&object, path, err));
    const json_t *timesteps = json_object_get(object, "timesteps"), *sigmas = json_object_get(object, "sigmas");
    const json_t *list = timesteps ? timesteps : sigmas;
    const size_t n = json_array_size(list);
    ath_status status = ATH_OK;
    if (n == 0 || n > 100000 || (timesteps && sigmas))
        status = ath_fail(err, ATH_E_FORMAT,
                          "%s: expected {\"timesteps\": [...]} or {\"sigmas\": [...]} with 1 to 100000 numbers", path);
    else if (!(r->level = malloc((n + 1) * sizeof *r->level)))
        status = ath_fail(err, ATH_E_MEM, "out of memory");
    else
        status = timesteps ? levels_of_timesteps(r, p, list, path, err) : levels_of_sigmas(r, p, list, path, err);
    json_decref(object);
    return status;
}

/* "NAME[:key=value,...]" */
static ath_status parse_spacing(const char *text, ath_spacing dflt, ath_spacing *how, ath_grid_options *o,
                                ath_err *err) {
    char name[ATH_TEXT_LEN];
    const char *colon = strchr(text, ':');
    int n;
    const ath_option *table = ath_grid_table(&n);
    snprintf(name, sizeof name, "%.*s", (int)strcspn(text, ":"), text);
    *how = dflt;
    if (*name && strcmp(name, "auto") != 0 && ath_spacing_parse(name, how, err) != ATH_OK) {
        const char *known[ATH_SPACINGS];
        for (int i = 0; i < ATH_SPACINGS; i++) known[i] = ath_spacing_name((ath_spacing)i);
        return cli_unknown("--spacing", name, known, ATH_SPACINGS, err);
    }
    const ath_status status = colon ? ath_options_parse(table, n, o, colon + 1, err) : ATH_OK;
    return status == ATH_OK ? ATH_OK : ath_fail_within(err, status, "--spacing");
}

/* The most steps whose evaluations fit the budget. */
static ath_status steps_of_budget(const cli_recipe *r, int nfe, bool to_clean, int *steps, ath_err *err) {
    if (r->sampler->adaptive)
        return ath_fail(err, ATH_E_ARG, "--nfe: %s chooses its steps by its tolerance", r->sampler->name);
    for (*steps = nfe; *steps >= 1; --*steps) {
        const int cost = ath_sampler_nfe(r->sampler, r->config, *steps, to_clean);
        if (cost > 0 && cost <= nfe) return ATH_OK;
    }
    return ath_fail(err, ATH_E_ARG, "--nfe: %s needs %d evaluations for one step", r->sampler->name,
                    ath_sampler_nfe(r->sampler, r->config, 1, to_clean));
}

static ath_status make_levels(cli_recipe *r, const ath_source *s, const cli_recipe_request *q, const char *final,
                              ath_err *err) {
    if (q->levels && *q->levels) return read_levels(r, &s->process, q->levels, err);
    ath_spacing how;
    ath_grid_options o;
    int n;
    const ath_option *table = ath_grid_table(&n);
    ath_options_default(table, n, &o);
    ATH_TRY(parse_spacing(q->spacing, ath_source_spacing(s, r->sampler), &how, &o, err));
    if (*final && ath_options_set(table, n, &o, "final", final, err) != ATH_OK)
        return ath_fail_within(err, ATH_E_ARG, "--sampler");
    r->n_steps = q->steps;
    if (q->nfe > 0) ATH_TRY(steps_of_budget(r, q->nfe, strcmp(o.final, "zero") == 0, &r->n_steps, err));
    r->level = malloc(((size_t)r->n_steps + 1) * sizeof *r->level);
    if (!r->level) return ath_fail(err, ATH_E_MEM, "out of memory");
    const ath_status status = ath_levels(&s->process, how, &o, r->n_steps, r->level, err);
    return status == ATH_OK ? ATH_OK : ath_fail_within(err, status, q->nfe > 0 ? "--nfe" : "--steps");
}

ath_status cli_recipe_make(cli_recipe *r, const ath_source *s, const cli_recipe_request *q, ath_err *err) {
    char final[ATH_TEXT_LEN] = "";
    *r = (cli_recipe){0};
    ath_status status = make_sampler(r, q, final, err);
    if (status == ATH_OK) status = make_levels(r, s, q, final, err);
    if (status != ATH_OK) cli_recipe_free(r);
    return status;
}

/* ---- what shapes predictions ---- */

/* "A:B", or "A" where B may be left out; "" leaves both as they are. */
static ath_status parse_pair(const char *option, const char *text, bool both, const char *like, double *a, double *b,
                             ath_err *err) {
    if (!*text) return ATH_OK;
    char first[64];
    const char *colon = strchr(text, ':');
    snprintf(first, sizeof first, "%.*s", (int)strcspn(text, ":"), text);
    if (!ath_parse_double(first, a) || (colon ? !ath_parse_double(colon + 1, b) : both))
        return ath_fail(err, ATH_E_ARG, "--%s: \"%s\" is not %s", option, text, like);
    return ATH_OK;
}

ath_status cli_shaping(const cli_shaping_request *q, ath_shaping *s, ath_err *err) {
    *s = (ath_shaping){.guidance_rescale = q->guidance_rescale, .clip_range = q->clip_range};
    ATH_TRY(parse_pair("guidance-interval", q->guidance_interval, true, "LO:HI, such as 0.2:5", &s->guidance_low,
                       &s->guidance_high, err));
    ATH_TRY(parse_pair("threshold", q->threshold, false, "Q or Q:MAX, such as 0.995 or 0.995:2", &s->threshold,
                       &s->threshold_max, err));
    ATH_TRY(parse_pair("skip-window", q->skip_window, true, "LO:HI, such as 0.2:5", &s->skip_low, &s->skip_high, err));
    return ath_shaping_check(s, err);
}

/* ---- Skip-Tuning ---- */

ath_status cli_skip_scales(const ath_source *s, const char *text, float **scales, ath_err *err) {
    *scales = NULL;
    if (!*text) return ATH_OK;
    double a = 1, b = 1;
    ATH_TRY(parse_pair("skip-tuning", text, false, "A or A:B, such as 0.8:1", &a, &b, err));
    const int n = s->skips;
    if (n == 0) return ath_fail(err, ATH_E_ARG, "--skip-tuning: this model has no skip connections");
    float *rho = *scales = malloc((size_t)n * sizeof *rho);
    if (!rho) return ath_fail(err, ATH_E_MEM, "out of memory");
    for (int i = 0; i < n; i++) rho[i] = (float)(n > 1 ? b + (a - b) * i / (n - 1) : a);
    return ATH_OK;
}
