// Which library is loaded.

#include <zero/status.h>

uint32_t zero_version(void) {
  return 10000U * ZERO_VERSION_MAJOR + 100U * ZERO_VERSION_MINOR + ZERO_VERSION_PATCH;
}

const char* zero_version_string(void) { return ZERO_VERSION; }

const char* zero_status_name(zero_status status) {
  switch (status) {
    case ZERO_OK:
      return "ok";
    case ZERO_FAILURE:
      return "failure";
    case ZERO_INVALID:
      return "invalid";
    case ZERO_PEER_LOST:
      return "peer lost";
    case ZERO_DESYNC:
      return "desync";
    case ZERO_CORRUPT:
      return "corrupt";
    case ZERO_RESOURCE:
      return "out of a resource";
    case ZERO_CALLBACK:
      return "callback failed";
    case ZERO_BUSY:
      return "busy";
    default:
      return "unknown";
  }
}
