# The program, the library with its C header and a pkg-config file, and the weights that come with the project.
include(GNUInstallDirs)
install(TARGETS srengine_program srtrain_program srengine)
if(TARGET srtrain_mpi)
  install(TARGETS srtrain_mpi DESTINATION lib/srengine)  # ../lib/srengine of the program: engine/base/plugin_files.h
endif()
install(FILES engine/srengine.h TYPE INCLUDE)
install(DIRECTORY weights/ DESTINATION ${CMAKE_INSTALL_DATADIR}/srengine/weights FILES_MATCHING PATTERN "*.bin")
configure_file(cmake/srengine.pc.in srengine.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/srengine.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
