# The same program in each project, with the shared and with the static library.
enable_testing()
set(CMAKE_CXX_STANDARD 17)
foreach(kind sda sda_static)
  add_executable(with_${kind} ../program.cpp)
  target_link_libraries(with_${kind} PRIVATE sda::${kind})
  target_compile_definitions(with_${kind} PRIVATE SDA_TEST_VERSION="${sda_VERSION}")
  add_test(NAME with_${kind} COMMAND with_${kind})
endforeach()
