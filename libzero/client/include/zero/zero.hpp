#pragma once
/**
 * @file
 * libzero for trainers in C++17: the C interface of <zero/zero.h> with scopes, spans and
 * exceptions. Headers alone, so that they work with a shared library of any compiler.
 *
 *     zero::optimizer z;  // from the environment
 *     auto weights = z.range<float>(ZERO_PARAMETERS, count);
 *     ...
 *     z.attach(segments);
 *     z.commit();
 *     for (...) {
 *       { auto in = z.forward(unit); ... }
 *       { auto in = z.backward(unit); ... }
 *       z.step(3e-4);
 *     }
 */

#include <zero/checkpoint.hpp>
#include <zero/client_error.hpp>
#include <zero/config.hpp>
#include <zero/optimizer.hpp>
#include <zero/ranks.hpp>
#include <zero/unit_scope.hpp>
#include <zero/update_range.hpp>
#include <zero/wrapped.hpp>
#include <zero/zero.h>
