"""The page of `pixelrnn serve`: paint the hidden region, and watch it being completed.

server.py        serves the page to this machine
page.py          the page, with the Sample and the Orderings tab
complete_tab.py  the Complete tab; painter.html, painter.js and choices.js are its parts in the browser
own_size.py      what this tab shows for a model of pictures of any size
events.py        how the tabs answer events; the files above and this one know Gradio
views.py         a draw in a thread, which can be watched and cancelled; its views in HTML, and its zip archive
request.py       what a visitor asks for: model, target, mask and choices
"""
