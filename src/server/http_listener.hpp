// (claimed, being written: see the next minutes)
#pragma once
