// What the page is made of. Each module finds its own part of the page and leaves the others' alone.
import "./patcher.js";
import "./acts.js";
import "./copy.js";
import "./talk.js";
import "./drawer.js";
import "./view.js";
import "./elsewhere.js";
import "./sparks.js";
import "./charts.js";
import "./feed.js";
import "./timeline.js";
import "./glance.js";
import "./scale.js";
import "./arming.js";
import "./tips.js";
import "./grid.js";
import "./keys.js";
