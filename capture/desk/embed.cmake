# cmake -DOUT=web_files.c -DFILES="a;b" -P embed.cmake: each file as an array of bytes and a struct web_file of its name.
set(text "/* Written by embed.cmake from the files of capture/desk/web. */\n#include \"capture/desk/web_files.h\"\n")
foreach(path IN LISTS FILES)
    get_filename_component(name "${path}" NAME)
    string(MAKE_C_IDENTIFIER "${name}" identifier)
    file(READ "${path}" bytes HEX)
    string(REGEX REPLACE "(................................)" "\\1\n    " bytes "${bytes}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    string(APPEND text "\nstatic const unsigned char ${identifier}_bytes[] = {\n    ${bytes}};\n"
        "const struct web_file web_${identifier} = {${identifier}_bytes, sizeof(${identifier}_bytes)};\n")
endforeach()
file(WRITE "${OUT}" "${text}")
