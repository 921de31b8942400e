# SPDX-License-Identifier: Apache-2.0
# The mail of the demo's shop: writes a letter about a receipt, and sends it nowhere.
require "socket"
require "json"

LINES = 400

def wrap(text, width)
  lines = [+""]
  text.split(" ").each do |word|
    lines << +"" if lines.last.length + word.length >= width
    lines.last << " " unless lines.last.empty?
    lines.last << word
  end
  lines
end

def quoted_printable(text)
  text.each_byte.map { |b| b.between?(33, 126) && b != 61 || b == 32 || b == 10 ? b.chr : format("=%02X", b) }.join
end

def letter(receipt)
  body = Array.new(LINES) { |i| "Dear customer, your receipt #{receipt["Number"]} about #{receipt["Total"]} is № #{i}." }.join(" ")
  quoted_printable(wrap(body, 72).join("\n"))
end

def serve(client)
  while (line = client.gets)
    _, path, = line.split(" ")
    length = 0
    while (header = client.gets) && header != "\r\n"
      name, value = header.split(":", 2)
      length = value.to_i if name.casecmp?("content-length")
    end
    body = client.read(length)
    answer = path == "/healthz" ? "{}" : JSON.generate(bytes: letter(JSON.parse(body)).bytesize)
    client.write("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: #{answer.bytesize}\r\n\r\n#{answer}")
  end
rescue SystemCallError, IOError, JSON::ParserError
  # the customer has gone, or sends what is no receipt
ensure
  client.close
end

trap("TERM") { exit!(0) }
server = TCPServer.new("0.0.0.0", 8080)
loop { Thread.new(server.accept) { |client| serve(client) } }
