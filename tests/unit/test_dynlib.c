/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Libraries on demand: found, missing, lacking a function. libm stands for any library. */
#include "core/dynlib.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

struct math_api {
	double (*floor)(double x);
	double (*ceil)(double x);
};

static const struct dynlib_symbol good[] = {
    DYNLIB_SYMBOL(struct math_api, floor, "floor"),
    DYNLIB_SYMBOL(struct math_api, ceil, "ceil"),
};

static const struct dynlib_symbol lacking[] = {
    DYNLIB_SYMBOL(struct math_api, floor, "floor"),
    DYNLIB_SYMBOL(struct math_api, ceil, "lodge_no_such_function"),
};

static void test_found(void **state)
{
	const struct dynlib lib = {"libm.so.6", "libc6", good, 2};
	struct math_api api = {0};
	struct refusal why = {0};

	(void)state;
	assert_int_equal(dynlib_load(&lib, &api, "test", &why), 0);
	assert_true(api.floor(1.5) < 1.25 && api.ceil(1.5) > 1.75);
	assert_int_equal(why.status, 0);
	assert_true(dynlib_present("libm.so.6"));
}

static void test_missing(void **state)
{
	const struct dynlib lib = {"liblodge-none.so.9", "liblodge-none9", good, 2};
	struct math_api api = {0};
	struct refusal why = {0};

	(void)state;
	assert_int_equal(dynlib_load(&lib, &api, "kernel: zstd", &why), -1);
	assert_int_equal(why.status, STATUS_UNAVAILABLE);
	assert_non_null(strstr(why.text, "kernel: zstd: "));
	assert_non_null(strstr(why.text, "liblodge-none.so.9"));
	assert_non_null(strstr(why.text, "apt install liblodge-none9"));
	assert_null(api.floor);
	assert_false(dynlib_present("liblodge-none.so.9"));
}

static void test_lacking(void **state)
{
	const struct dynlib lib = {"libm.so.6", "libc6", lacking, 2};
	struct math_api api = {0};
	struct refusal why = {0};

	(void)state;
	assert_int_equal(dynlib_load(&lib, &api, "test", &why), -1);
	assert_int_equal(why.status, STATUS_UNAVAILABLE);
	assert_non_null(strstr(why.text, "lodge_no_such_function"));
	assert_null(api.floor);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_found),
	    cmocka_unit_test(test_missing),
	    cmocka_unit_test(test_lacking),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
