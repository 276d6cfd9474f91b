"""The page of `pixelrnn serve`: paint the hidden region, and watch it being completed.

server.py         serves the page to this machine
page.py           the page, with the Sample tab
complete_tab.py   the Complete tab; painter.html, painter.js and choices.js are its parts in the browser
orderings_tab.py  the Orderings tab
events.py         how the tabs answer events; the files above and this one know Gradio
html.py           pieces of HTML, and the views of a draw
drawing.py        a draw in a thread, which can be watched and cancelled, and its zip archive
request.py        what a visitor asks for: target, mask and choices
models.py         the models that the page can use
"""
