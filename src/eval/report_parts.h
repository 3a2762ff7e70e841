/* Private to src/eval: what the tables of a report share. */
#ifndef ATH_EVAL_REPORT_PARTS_H
#define ATH_EVAL_REPORT_PARTS_H
#include "base/text.h"
#include "eval/report.h"

/* A number in `digits` significant digits, to be read: "0.01230", "41.2", "1.23e-6"; "" when it is not finite. */
typedef struct ath_shown {
    char text[32];
} ath_shown;
ath_shown ath_show_number(double value, int digits);

enum { ATH_SCORE_DIGITS = 4, ATH_SECONDS_DIGITS = 3, ATH_ORDER_DIGITS = 3 };

bool ath_report_has_options(const ath_report *r);
bool ath_report_has_orders(const ath_report *r);
/* ath_report_is_best, and there is something to be better than. */
bool ath_report_is_marked(const ath_report *r, int row, int score);
bool ath_report_has_marks(const ath_report *r);
extern const char ath_report_mark_means[];

#endif
