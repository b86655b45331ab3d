"""Who the made-up people are, and where they write."""

from __future__ import annotations

from typing import Final

# Names of several scripts, so that whoever stores or prints them meets non-ASCII text early.
USER_NAMES: Final = (
    "Ana Souza",
    "Béatrice Lefèvre",
    "Chinedu Okafor",
    "Zoë Brontë",
    "Дарья Кузнецова",
    "Σοφία Παπαδοπούλου",
    "Jürgen Müßig",
    "山田 花子",
    "김민준",
    "李小龍",
    "नेहा शर्मा",
    "نور حداد",
    "Łukasz Żak",
    "Þóra Jónsdóttir",
    "O'Neil, Sam",
    "Nguyễn Thị Hồng",
)

PAGES: Final = (
    "https://learn.example.edu/courses/bio-101/essays/3/edit",
    "https://learn.example.edu/courses/bio-101/quiz/7",
    "https://learn.example.edu/courses/hist-204/forum",
    "https://learn.example.edu/courses/hist-204/essays/1/edit",
    "https://learn.example.edu/courses/física-2/tarea?paso=2",
    "https://learn.example.edu/dashboard",
)

USER_AGENTS: Final = {
    "DESKTOP": ("Chrome 137 on Windows", "Firefox 139 on Linux", "Safari 18 on macOS", "Edge 137 on Windows"),
    "TOUCH": ("Safari 18 on iOS", "Chrome 137 on Android"),
    "BOT": ("HeadlessChrome 137 on Linux", "Chrome 137 on Windows"),
}

BOT_FLAGS: Final = ("regular_rhythm", "pointer_jumps", "large_pastes", "headless_browser")
