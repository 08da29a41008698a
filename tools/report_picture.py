"""Looks at a report of `optimize` in a browser without a screen, and keeps what it saw as a picture.

pip install PyQt6-WebEngine          (Chromium; in an environment of its own, nothing else needs it)
QT_QPA_PLATFORM=offscreen python tools/report_picture.py .cloudmodel/optimize/report.html docs/images/report.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from PyQt6.QtCore import QSize, QTimer, QUrl
from PyQt6.QtWebEngineWidgets import QWebEngineView
from PyQt6.QtWidgets import QApplication

WIDTH = 1000
DRAWN_MS = 800  # from a new size to its pixels
HEIGHT = "document.documentElement.scrollHeight"


def main(page: Path, picture: Path) -> int:
    """Load `page`, make the window as tall as it, and write what is drawn to `picture`."""
    application = QApplication(sys.argv)
    view = QWebEngineView()
    view.resize(QSize(WIDTH, 700))
    view.show()

    def keep() -> None:
        view.grab().save(str(picture))
        application.quit()

    def measured(height: float) -> None:
        view.resize(QSize(WIDTH, int(height)))
        QTimer.singleShot(DRAWN_MS, keep)

    view.loadFinished.connect(lambda _: view.page().runJavaScript(HEIGHT, measured))
    view.load(QUrl.fromLocalFile(str(page.resolve())))
    return int(application.exec())


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
