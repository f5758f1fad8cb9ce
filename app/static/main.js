// What the page is made of. Each module finds its own part of the page and leaves the others' alone.
import "./patcher.js";
import "./acts.js";
import "./copy.js";
import "./drawer.js";
import "./tips.js";
import "./grid.js";
import "./keys.js";
