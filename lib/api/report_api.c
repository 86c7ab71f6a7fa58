/* SPDX-License-Identifier: MIT */
#include "api/api.h"

#include <math.h>

#include "train/report.h"

void mtl_report_destroy(mtl_report *report)
{
    mtl__report_destroy(report);
}

int64_t mtl_report_count(const mtl_report *report)
{
    return report ? report->count : 0;
}

const char *mtl_report_name(const mtl_report *report, int64_t index)
{
    return report && index >= 0 && index < report->count ? report->entry[index].name : NULL;
}

int32_t mtl_report_type(const mtl_report *report, const char *name)
{
    const mtl__entry *e = report && name ? mtl__report_find(report, name) : NULL;
    return e ? e->type : 0;
}

/* An entry that is a text, or one that is not. */
static mtl_status find(const mtl_report *report, const char *name, bool text, const mtl__entry **e,
                       mtl_error *err)
{
    *e = mtl__report_find(report, name);
    if (!*e)
        return MTL_FAIL(err, MTL_ERR_NAME, "the report has no entry \"%.96s\"", name);
    if (((*e)->type == MTL_TYPE_STR) != text)
        return MTL_FAIL(err, MTL_ERR_TYPE, "the report's entry \"%.96s\" is %s text", name,
                        text ? "no" : "a");
    return MTL_OK;
}

mtl_status mtl_report_get_f64(const mtl_report *report, const char *name, double *value,
                              mtl_error *err)
{
    REQUIRE(report);
    REQUIRE(name);
    REQUIRE(value);
    const mtl__entry *e;
    mtl_status st = find(report, name, false, &e, err);
    if (st != MTL_OK)
        return st;
    if (e->type == MTL_TYPE_SERIES)
        *value = e->count ? e->series[e->count - 1] : NAN;
    else
        *value = e->number;
    return MTL_OK;
}

mtl_status mtl_report_get_series(const mtl_report *report, const char *name, int64_t *count,
                                 const double **values, mtl_error *err)
{
    REQUIRE(report);
    REQUIRE(name);
    REQUIRE(count);
    REQUIRE(values);
    const mtl__entry *e;
    mtl_status st = find(report, name, false, &e, err);
    if (st != MTL_OK)
        return st;
    bool series = e->type == MTL_TYPE_SERIES;
    *count = series ? e->count : 1;
    *values = series ? e->series : &e->number;
    return MTL_OK;
}

mtl_status mtl_report_get_str(const mtl_report *report, const char *name, const char **value,
                              mtl_error *err)
{
    REQUIRE(report);
    REQUIRE(name);
    REQUIRE(value);
    const mtl__entry *e;
    mtl_status st = find(report, name, true, &e, err);
    if (st == MTL_OK)
        *value = e->text;
    return st;
}

mtl_status mtl_report_to_json(const mtl_report *report, char **text, mtl_error *err)
{
    REQUIRE(report);
    REQUIRE(text);
    return mtl__report_json(report, text, err);
}
