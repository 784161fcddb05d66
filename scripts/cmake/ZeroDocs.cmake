# The target `docs`: the API reference by Doxygen, in docs/html of the build folder. Any warning is
# an error. Without Doxygen, or Python for its input filter, the target says what is missing.
find_package(Doxygen QUIET)
find_package(Python3 3.9 QUIET COMPONENTS Interpreter)
if(NOT DOXYGEN_FOUND OR NOT Python3_FOUND)
  add_custom_target(docs COMMAND ${CMAKE_COMMAND} -E echo "the API reference needs doxygen and python3"
                    COMMAND ${CMAKE_COMMAND} -E false)
  return()
endif()

set(ZERO_DOCS_DIR ${PROJECT_BINARY_DIR}/docs)
set(dirs)
get_property(rooms GLOBAL PROPERTY ZERO_ROOMS)
foreach(room IN LISTS rooms)
  get_target_property(dir zero_${room} SOURCE_DIR)
  list(APPEND dirs "\"${dir}/include\"")
endforeach()
list(APPEND dirs "\"${PROJECT_SOURCE_DIR}/libzero/torch/include\"")  # LibTorch is not needed
list(JOIN dirs " " ZERO_DOCS_STRIP)
set(ZERO_DOCS_INPUT "${ZERO_DOCS_STRIP} \"${PROJECT_SOURCE_DIR}/scripts/docs/mainpage.md\"")
configure_file(${PROJECT_SOURCE_DIR}/scripts/docs/Doxyfile.in ${PROJECT_BINARY_DIR}/Doxyfile @ONLY)
add_custom_target(docs
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${ZERO_DOCS_DIR}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${ZERO_DOCS_DIR}
  COMMAND ${DOXYGEN_EXECUTABLE} ${PROJECT_BINARY_DIR}/Doxyfile
  COMMENT "API reference: ${ZERO_DOCS_DIR}/html/index.html" VERBATIM)
