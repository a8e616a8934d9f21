"""Configuration files of the local web's servers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

_ENGINE_PATH = "/search?DB=db&FMT=json&HITSPERPAGE=10"


def nginx(folder: Path, port: int, sites: Mapping[str, Path]) -> str:
    temporary = "\n".join(
        f"  {kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    # The sites as they are, and beside their pages one that leads away and one that robots are to leave alone.
    extra = "location = /leave { return 302 $arg_to; } location = /closed { return 200 'Closed.'; }"
    extra += " location = /robots.txt { return 200 'User-agent: *\nDisallow: /closed'; }"
    hosts = "\n".join(
        f"  server {{ listen 127.0.0.1:{port}; server_name {host}; root {path}; {extra} }}"
        for host, path in sites.items()
    )
    folders = " ".join(f"location /{host}/ {{ alias {path}/; }}" for host, path in sites.items())
    return f"""\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr;
events {{ worker_connections 256; }}
http {{
  include /etc/nginx/mime.types;
  access_log off;
  charset utf-8;
  gzip on;
  index index.html index.en.html;
{temporary}
  server {{ listen 127.0.0.1:{port} default_server; {folders} }}
{hosts}
}}
"""


def lighttpd(folder: Path, port: int) -> str:
    return f"""\
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{folder}"
server.modules = ("mod_alias", "mod_cgi", "mod_setenv")
alias.url = ("/search" => "/usr/lib/cgi-bin/omega/omega")
$HTTP["url"] =~ "^/search" {{
  cgi.assign = ("" => "")
  setenv.add-environment = ("OMEGA_CONFIG_FILE" => "{folder}/omega.conf")
}}
"""


def omega(folder: Path, index: Path) -> str:
    return f"database_dir {index}\ntemplate_dir {folder}/json\nlog_dir {folder}\ncdb_dir {folder}\n"


def omega_template(port: int) -> str:
    """Hits as JSON. The index knows the sites without a port; the template writes it into the URLs."""
    url = rf"$transform{{^http://([^/]+),http://\1:{port},$field{{url}}}}"
    hit = (
        '{"url":"$json{' + url + '}","title":"$json{$or{$field{title},$field{caption},$field{url}}}",'
        '"content":"$json{$snippet{$field{sample},300}}"}'
    )
    return (
        "$httpheader{Content-Type,application/json}$setmap{boolprefix,site,H}"
        "$setmap{prefix,,$split{ S B F},title,S,author,A,topic,B}"
        '{"results":[$list{$map{$split{x},},}$hitlist{$if{$ne{$hit,$topdoc},$.}' + hit + "}]}"
    )


def engine_url(port: int, query: str) -> str:
    return f"http://127.0.0.1:{port}{_ENGINE_PATH}&P={quote(query)}"


def searxng(port: int, engine_port: int) -> str:
    search_url = f"http://127.0.0.1:{engine_port}{_ENGINE_PATH}&P={{query}}&TOPDOC={{pageno}}"
    return f"""\
use_default_settings: {{engines: {{keep_only: []}}}}
server: {{port: {port}, bind_address: "127.0.0.1", secret_key: "of no use", limiter: false}}
search: {{formats: [html, json], autocomplete: "", ban_time_on_fail: 1, max_ban_time_on_fail: 5}}
outgoing: {{request_timeout: 30.0, enable_http2: false}}
engines:
  - name: omega
    engine: json_engine
    shortcut: om
    categories: [general]
    paging: true
    first_page_num: 0
    page_size: 10
    search_url: "{search_url}"
    results_query: results
    url_query: url
    title_query: title
    content_query: content
    content_html_to_text: true
    title_html_to_text: true
    enable_http: true
    disabled: false
"""
