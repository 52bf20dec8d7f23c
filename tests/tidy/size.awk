# SPDX-License-Identifier: Apache-2.0
# Sizes of C files that clang-format has formatted: a function's braces stand in column 0, alone.
# Variables: lines_max header_max function_max parameters_max nesting_max;
# wide: headers that may be longer, for a wire's records stand in one file.

function begin_file()
{
    is_header = FILENAME ~ /\.h$/
    code = 0
    begins = 0
    head = ""
    is_comment = 0
}

function end_file()
{
    if (is_header && code > header_max && index(" " wide " ", " " name " ") == 0)
        print name ":1: " code " lines of code in a header, limit " header_max
    else if (!is_header && lines > lines_max)
        print name ":1: " lines " lines, limit " lines_max
}

# A header's comments do not count.
function count_code(text)
{
    if (is_comment) {
        if (text !~ /\*\//)
            return
        sub(/^.*\*\//, "", text)
        is_comment = 0
    }
    gsub(/\/\*[^*]*\*\//, "", text)
    if (text ~ /\/\*/) {
        is_comment = 1
        sub(/\/\*.*$/, "", text)
    }
    if (text ~ /[^ ]/)
        code++
}

function count_parameters(text, i, c, depth, count)
{
    depth = count = 0
    for (i = index(text, "("); i <= length(text); i++) {
        c = substr(text, i, 1)
        if (c == "(")
            depth++
        else if (c == ")" && --depth == 0)
            break
        else if (c == "," && depth == 1)
            count++
    }
    return count + 1
}

FNR == 1 {
    if (name != "")
        end_file()
    name = FILENAME
    begin_file()
}
{
    lines = FNR
    if (is_header)
        count_code($0)
}
/^{$/ {
    begins = FNR
    count = count_parameters(head)
    if (count > parameters_max)
        print name ":" FNR ": " count " parameters, limit " parameters_max
}
/^}/ {
    if (begins && FNR - begins - 1 > function_max)
        print name ":" begins ": a function of " FNR - begins - 1 " lines, limit " function_max
    begins = 0
}
begins && /^ +(} else )?(if|for|while|switch|do) *[({]/ {
    match($0, /^ +/)
    if (RLENGTH / 4 > nesting_max)
        print name ":" FNR ": nested deeper than " nesting_max
}
/^[A-Za-z_]/ { head = "" }
!begins { head = head $0 }
END {
    if (name != "")
        end_file()
}
