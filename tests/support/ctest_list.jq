# SPDX-License-Identifier: Apache-2.0
# From `ctest --show-only=json-v1` of one build to the lines of a CTestTestfile.cmake, each test
# under $build/NAME: so that tests of several builds run, and are summed up, together. Each needs
# the fixture `machine`, whose end looks for what was left behind.

def quoted: "[==[" + . + "]==]";
def words: if type == "array" then map(tostring) | join(";") else tostring end;
def own: map($build + "/" + .);

.tests[]
| ($build + "/" + .name) as $name
| ([.properties[] | select(.name != "FIXTURES_REQUIRED") |
    if .name == "DEPENDS" or (.name | startswith("FIXTURES_")) then .value |= own else . end]
   + [{name: "FIXTURES_REQUIRED",
       value: (([.properties[] | select(.name == "FIXTURES_REQUIRED") | .value[]] | own)
               + ["machine"])}]) as $properties
| "add_test(" + ($name | quoted) + " "
    + ((.command // ["not-built"]) | map(quoted) | join(" ")) + ")",
  "set_tests_properties(" + ($name | quoted) + " PROPERTIES "
    + ($properties | map(.name + " " + (.value | words | quoted)) | join(" ")) + ")"
