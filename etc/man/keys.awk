# The output of `ccserver --keys` as the rest of ccserver.conf(5).
function flush_list() { if (open) print ".El"; open = 0 }
function quoted(text) { gsub(/\\/, "\\e", text); return text }
/^# \[/ { flush_list(); sub(/^# /, ""); print ".Sh " substr($0, 1, index($0, "]")); rest = substr($0, index($0, "]") + 1)
          sub(/^,? */, "", rest); if (rest) print quoted(rest) "."; next }
/^# [a-z_]+ \(/ { if (!open) print ".Bl -tag -width indent"; open = 1; sub(/^# /, "")
          print ".It Cm " $1; key = $1; sub(/^[a-z_]+ /, ""); print quoted($0) "."; next }
/^#     / { sub(/^# +/, ""); print ".br"; print quoted($0) "."; next }
/^# / { flush_list(); sub(/^# /, ""); print ".Pp"; print quoted($0); next }
/^#?$/ { next }
END { flush_list(); print ".Sh SEE ALSO"; print ".Xr ccserverctl 1 ,"; print ".Xr ccserver 8" }
