--- lua run.lua FILE FOLDER: see suite.lua.
local file, folder = ...
assert(loadfile(file))()
os.exit(require("suite").run(folder) and 0 or 1)
