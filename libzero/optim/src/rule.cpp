#include <zero/base/error.hpp>
#include <zero/optim/rule.hpp>

namespace zero::optim {
namespace {

constexpr algorithm algorithms[] = {algorithm::adamw, algorithm::adam, algorithm::sgd,
                                    algorithm::lion, algorithm::adagrad};

}  // namespace

const char* name_of(algorithm a) noexcept {
  switch (a) {
    case algorithm::adamw:
      return "adamw";
    case algorithm::adam:
      return "adam";
    case algorithm::sgd:
      return "sgd";
    case algorithm::lion:
      return "lion";
    case algorithm::adagrad:
      return "adagrad";
  }
  return "unknown";
}

algorithm parse_algorithm(const std::string& name) {
  for (const algorithm a : algorithms) {
    if (name == name_of(a)) return a;
  }
  throw invalid_argument("[optim.rule] algorithm '" + name +
                         "': accepted are adamw, adam, sgd, lion and adagrad");
}

hyper default_hyper(algorithm a) noexcept {
  hyper constants;
  switch (a) {
    case algorithm::adamw:
      constants.weight_decay = 1e-2F;
      break;
    case algorithm::adam:
      break;
    case algorithm::sgd:
      constants.learning_rate = 1e-2F;
      break;
    case algorithm::lion:
      constants.learning_rate = 1e-4F;
      constants.beta2 = 0.99F;
      break;
    case algorithm::adagrad:
      constants.learning_rate = 1e-2F;
      constants.epsilon = 1e-10F;
      break;
  }
  return constants;
}

int state_count(algorithm a) noexcept {
  return a == algorithm::adamw || a == algorithm::adam ? 2 : 1;
}

const char* state_name(algorithm a, int index) noexcept {
  switch (a) {
    case algorithm::adamw:
    case algorithm::adam:
      return index == 0 ? "exp_avg" : index == 1 ? "exp_avg_sq" : "";
    case algorithm::sgd:
      return index == 0 ? "momentum_buffer" : "";
    case algorithm::lion:
      return index == 0 ? "exp_avg" : "";
    case algorithm::adagrad:
      return index == 0 ? "sum" : "";
  }
  return "";
}

}  // namespace zero::optim
